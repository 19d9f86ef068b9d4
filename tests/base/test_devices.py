from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from napari_nucleigan.base import devices as module
from napari_nucleigan.base.devices import choose_device, computes_bfloat16, devices, usable_cores
from napari_nucleigan.base.errors import DeviceError


def cuda():
    import torch

    return torch.cuda.is_available()


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


# -- which there are -----------------------------------------------------------------------------


def test_automatic_comes_first_and_the_cpu_is_always_there():
    automatic, cpu, *others = devices()
    assert automatic.name == "auto"
    assert automatic.available
    assert cpu.name == "cpu"
    assert cpu.available
    assert f"({usable_cores()} cores)" in cpu.label
    assert any(device.name.startswith("cuda") for device in others)


def test_what_is_not_to_be_had_says_why():
    for device in devices():
        assert device.available == (device.reason == "")
        assert device.label


def test_automatic_says_what_it_stands_for():
    automatic, *found = devices()
    chosen = next(device for device in found if device.name == choose_device("auto"))
    assert chosen.available
    assert automatic.label == f"Automatic: {chosen.label}"


def test_names_that_are_offered_can_be_chosen():
    for device in devices()[1:]:
        if device.available:
            assert choose_device(device.name) == device.name


# -- choosing ------------------------------------------------------------------------------------


def test_automatic_is_the_default_and_takes_a_gpu_where_there_is_one():
    assert choose_device() == choose_device("auto")
    gpus = [device.name for device in devices()[1:] if device.available and device.name != "cpu"]
    assert choose_device() == (gpus[0] if gpus else "cpu")


@pytest.mark.parametrize("name", ["tpu", "CPU", "", "cuda:99"])
def test_an_unknown_device_is_refused_with_those_that_are_there(name):
    with pytest.raises(DeviceError, match=r"choose one of auto, cpu"):
        choose_device(name)


def test_a_gpu_that_is_not_to_be_had_is_refused_with_the_reason():
    if cuda():
        pytest.skip("there is a CUDA device")
    with pytest.raises(DeviceError, match=r"'cuda' is not to be had: .*(NVIDIA|CPUs only).*; choose 'cpu' or 'auto'"):
        choose_device("cuda")


@pytest.mark.gpu
def test_a_gpu_is_taken_by_its_number_and_without():
    assert choose_device("cuda") == choose_device("cuda:0") == "cuda:0"
    assert isinstance(computes_bfloat16("cuda:0"), bool)


# -- precision and cores -------------------------------------------------------------------------


def test_bfloat16_is_for_processors_that_compute_in_it():
    flags = Path("/proc/cpuinfo")
    if not flags.exists():
        pytest.skip("no list of the processor's instructions here")
    text = flags.read_text()
    # Without these instructions it is emulated, slower than float32.
    assert computes_bfloat16("cpu") == ("avx512_bf16" in text or "amx_tile" in text)


def test_cores_are_those_of_this_process():
    assert 1 <= usable_cores() <= os.cpu_count()
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity of processes")
    code = (
        "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1]);"
        "from napari_nucleigan.base.devices import usable_cores; print(usable_cores())"
    )
    assert python(code) == "1"


@pytest.mark.parametrize(
    ("quota", "limit"),
    [
        ("max 100000\n", None),
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        ("6400000 100000\n", None),
        ("", None),
        ("nonsense", None),
        (None, None),
    ],
)
def test_the_quota_of_a_container_counts(tmp_path, monkeypatch, quota, limit):
    without = usable_cores()
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    # A test cannot set its own quota; the file of the control group is all that there is to see of it.
    monkeypatch.setattr(module, "Path", lambda _: file)
    assert usable_cores() == (limit or without)


def test_asking_for_cores_does_not_load_torch():
    assert (
        python("import sys, napari_nucleigan.base.devices as d; d.usable_cores(); print('torch' in sys.modules)")
        == "False"
    )


PAGES = """
import resource, numpy as np
from contextlib import nullcontext
from napari_nucleigan.base.devices import kept_memory
def faults(keep):
    with kept_memory() if keep else nullcontext():
        np.ones(2**26, np.uint8)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            np.ones(2**26, np.uint8)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
plain, kept = faults(False), faults(True)
print(plain, kept, faults(False), resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_memory_is_kept_for_what_comes_next_and_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    plain, kept, after, resident = map(int, done.stdout.split())
    assert kept < plain / 4
    assert after > kept
    assert resident < 2**28
