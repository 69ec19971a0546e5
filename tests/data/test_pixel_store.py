"""Decoded images are reused, and decoded again if files have changed or the store is damaged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.folders import load, refused
from PIL import Image

from zoo.data import pixel_store
from zoo.errors import DataError

Draw = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("cache")


WHITE, GREY = (255, 255, 255), (128, 128, 128)


def test_a_second_start_decodes_nothing(image_folder: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder({"a": 2, "b": 2})
    first = load(root)
    monkeypatch.setattr(pixel_store, "decode_range", lambda job: pytest.fail("decoded again"))
    second = load(root, val_fraction=0.5)
    assert "decoded 4 images" in first.notes
    assert "images were decoded before" in second.notes
    assert np.array_equal(first.train.pixels.images, second.train.pixels.images)


@pytest.mark.parametrize("change", ["content", "time", "new file", "rename", "size"])
def test_what_changed_is_decoded_anew(image_folder: Draw, change: str) -> None:
    root = image_folder({"a": 2, "b": 2})
    file = root / "a/000.png"
    load(root, store_size=16)
    if change == "content":
        Image.new("RGB", (40, 30), (9, 9, 9)).save(file)
    elif change == "time":
        os.utime(file, (1, 1))
    elif change == "new file":
        Image.new("RGB", (40, 30)).save(root / "a/9.png")
    elif change == "rename":
        file.rename(root / "a/001a.png")
    found = load(root, store_size=24 if change == "size" else 16)
    assert any(note.startswith("decoded") for note in found.notes)
    if change == "content":
        assert (found.train.pixels.images[0] == 9).all()


@pytest.mark.parametrize("file", ["pixels.bin", "store.json", "aspects.npy"])
def test_a_damaged_store_is_made_again(image_folder: Draw, cache: Path, file: str) -> None:
    root = image_folder({"a": 2, "b": 2})
    first = np.array(load(root).train.pixels.images)
    (path,) = (cache / "pixels").glob(f"*/{file}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]) if file != "aspects.npy" else path.unlink()
    assert np.array_equal(load(root).train.pixels.images, first)


def test_many_files_are_decoded_in_processes_to_the_same_pixels(image_folder: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder({"a": 5, "b": 4})
    alone = np.array(load(root, store_size=16).train.pixels.images)
    monkeypatch.setattr(pixel_store, "CHUNK", 2)
    monkeypatch.setattr(pixel_store, "ALONE", 0)
    os.utime(root / "a/000.png", (1, 1))
    assert np.array_equal(load(root, store_size=16).train.pixels.images, alone)


SCRIPT = """\
import sys
from pathlib import Path
from zoo.data import pixel_store
print("began", flush=True)
pixel_store.CHUNK, pixel_store.ALONE, pixel_store.cores = 1, 0, lambda: 2
files = sorted(Path(sys.argv[1]).rglob("*.png"))
print(len(pixel_store.from_files(files, 8, "bilinear", "data.root")[0].images))
"""


def test_a_script_without_a_guard_is_not_run_again_by_its_workers(image_folder: Draw, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    root = image_folder({"a": 3, "b": 3})
    done = subprocess.run([sys.executable, tmp_path / "script.py", root], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "began\n6\n", done.stderr


ORPHAN = """\
import os, signal, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from zoo.data.decode import begin_worker
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=begin_worker)
    print(pool.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_process_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(ORPHAN)
    # The output ends when no process has it open any more.
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout) > 0


def test_a_cache_that_cannot_be_written(image_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder({"a": 2, "b": 2})
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "taken"))
    assert refused(root).endswith("taken/pixels: not writable: Not a directory (set ZOO_CACHE to another folder)")


def test_a_store_cut_short_while_in_use_is_an_error_and_not_a_crash(image_folder: Draw, cache: Path) -> None:
    found = load(image_folder({"a": 2, "b": 2})).train.pixels
    (path,) = (cache / "pixels").glob("*/pixels.bin")
    os.truncate(path, 100)
    with pytest.raises(
        DataError, match=r"/pixels/\w+: the pixel store shrank to 100 of [\d,]+ bytes while in use \(.+--resume\)"
    ) as error:
        found.take(np.array([3]))
    assert error.value.exit_code == 3
