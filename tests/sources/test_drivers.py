"""Libraries of GPU drivers are known by their names, and found in the first folder."""

from pathlib import Path

import pytest

from envtool.sources.drivers import find_drivers


@pytest.mark.parametrize(
    "name",
    [
        "libcuda.so.1",
        "libcuda.so.550.54.14",
        "libcudadebugger.so.1",
        "libnvidia-ml.so.1",
        "libnvidia-ptxjitcompiler.so.1",
        "libGLX_nvidia.so.0",
        "libEGL_nvidia.so.0",
        "libGLESv1_CM_nvidia.so.1",
        "libGLESv2_nvidia.so.2",
        "libvdpau_nvidia.so.1",
        "libnvcuvid.so.1",
        "libdxcore.so",
        "libze_intel_gpu.so.1",
    ],
)
def test_a_library_of_a_driver_is_let_through(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert find_drivers("x86_64", [str(tmp_path)]) == ((name, f"{tmp_path}/{name}"),)


@pytest.mark.parametrize(
    "name",
    [
        "libc.so.6",
        "libcudart.so.12",
        "libGL.so.1",
        "libGLX_mesa.so.0",
        "libcuda.so.1.old",
        "libcuda.a",
        "my-libcuda.so.1",
        "libstdc++.so.6",
        "libnvidia.txt",
    ],
)
def test_nothing_else_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "libnvidia-ml.so.1").mkdir()
    (tmp_path / "libcuda.so.1").symlink_to("nowhere")
    assert find_drivers("x86_64", [str(tmp_path)]) == ()


def test_the_first_folder_counts(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "libcuda.so.1").touch()
    folders = ["/nowhere", f"{tmp_path}/two", f"{tmp_path}/one"]
    assert find_drivers("x86_64", folders) == (("libcuda.so.1", f"{tmp_path}/two/libcuda.so.1"),)
