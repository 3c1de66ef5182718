"""Errors of predicted bodies, batched in torch on CPU or GPU, in the precision of what is given.

    alignment     root alignment and similarity Procrustes
    regressors    joints from the vertices of a posed mesh
    parts         which vertices and joints are body, hands and face
    mesh, joints  PVE, PA-PVE; MPJPE, PA-MPJPE, for each part
    compiled      PVE and PA-PVE on a CPU without derivatives, with the loops of kernels
    keypoints2d   PCK of points in the picture, and the lengths that it is relative to
    pck           3DPCK and areas under curves
    agora         matching of several people in a picture, F1, NMVE and NMJE

Coordinates go in in metres or pixels; errors come out in millimetres, one for each sample. NaN says that a sample has
no such error (the part is not labelled, or out of the picture); a prediction that is not finite is refused.
"""
