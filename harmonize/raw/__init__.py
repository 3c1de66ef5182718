"""Safe access to foreign files: restricted pickles, npz, mat, JSON and paths.

Raw files are hostile. Nothing here executes what a file asks for, leaves the raw root, or allocates what a file merely
declares: every size is checked against the bytes that are really there, and against a limit, before memory is taken.
Whatever is wrong with a file comes out as one `RawFileError` that names it.
"""
