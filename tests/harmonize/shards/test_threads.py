"""One thread while shards are made, and the old number afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from harmonize.errors import UsageError
from harmonize.shards.threads import pin_threads


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def blas_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.usefixtures("two_threads")
def test_pinned_inside_and_restored_outside() -> None:
    before = blas_threads()
    with pin_threads():
        with pin_threads():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
        assert blas_threads() == {1}
    assert torch.get_num_threads() == 2
    assert blas_threads() == before


@pytest.mark.usefixtures("two_threads")
def test_the_last_one_out_restores() -> None:
    both_inside, one_left = Barrier(2), Barrier(2)

    def first() -> None:
        with pin_threads():
            both_inside.wait(5)
        one_left.wait(5)

    def second() -> tuple[int, set[int]]:
        with pin_threads():
            both_inside.wait(5)
            one_left.wait(5)
            return torch.get_num_threads(), blas_threads()

    with ThreadPoolExecutor(2) as pool:
        leaving = pool.submit(first)
        assert pool.submit(second).result(10) == (1, {1})
        leaving.result(10)


def test_a_pin_that_would_not_hold_is_refused() -> None:
    def pin() -> None:
        with pin_threads():
            pytest.fail("pinned while another thread holds two threads")

    with threadpool_limits(limits=2, user_api="blas"), ThreadPoolExecutor(1) as pool:
        if blas_threads() != {2}:
            pytest.skip("this BLAS has one thread only")
        with pytest.raises(UsageError, match="one BLAS thread"):
            pool.submit(pin).result(10)
