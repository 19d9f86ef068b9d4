from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.synthesis.pair_log import PAIRS, PROVENANCE, SPLIT, PairLog

if TYPE_CHECKING:
    from pathlib import Path


def _provenance(**settings: Any) -> dict[str, Any]:
    values = {"seed": 0, "count": 5, "device": "cpu"} | settings
    return {"model": "m", "sha256": "s", "version": "1", "masks": {"drawn": {}}, "settings": values}


def _pair(log: PairLog, index: int, **more: Any) -> dict[str, Any]:
    record = {"index": index, "name": f"p{index}", "organ": "liver", "split": "train", "consistency": None, **more}
    for path in (log.image(record["name"]), log.labels(record["name"])):
        path.write_bytes(b"x")
    return record


def test_records_come_back(tmp_path: Path) -> None:
    log = PairLog(tmp_path, _provenance(), False)
    log.add([_pair(log, 1), _pair(log, 0)])
    again = PairLog(tmp_path, _provenance(count=9, device="cuda"), False)
    assert again.records.keys() == {0, 1}
    again.close()
    assert (tmp_path / SPLIT).read_text() == "name,organ,split\np0,liver,train\np1,liver,train\n"
    assert [json.loads(line)["index"] for line in (tmp_path / PAIRS).read_text().splitlines()] == [0, 1]


def test_a_line_that_was_cut_short_and_a_pair_without_its_files_are_forgotten(tmp_path: Path) -> None:
    log = PairLog(tmp_path, _provenance(), False)
    log.add([_pair(log, index) for index in range(3)])
    log.image("p1").unlink()
    with (tmp_path / PAIRS).open("a") as handle:
        handle.write('{"index": 3, "na')
    again = PairLog(tmp_path, _provenance(), False)
    assert again.records.keys() == {0, 2}
    again.add([_pair(again, 3)])
    assert PairLog(tmp_path, _provenance(), False).records.keys() == {0, 2, 3}


def test_pairs_that_were_given_up_need_no_files_and_are_no_part_of_the_set(tmp_path: Path) -> None:
    log = PairLog(tmp_path, _provenance(), False)
    log.add([{"index": 0, "name": "p0", "organ": "", "split": "", "consistency": None, "dropped": True}])
    again = PairLog(tmp_path, _provenance(), False)
    assert again.records.keys() == {0}
    again.close()
    assert (tmp_path / SPLIT).read_text() == "name,organ,split\n"


def test_other_settings_are_refused(tmp_path: Path) -> None:
    log = PairLog(tmp_path, _provenance(), False)
    log.add([_pair(log, 0)])
    with pytest.raises(OutputError, match="another seed: 0 there, 7 now"):
        PairLog(tmp_path, _provenance(seed=7), False)
    with pytest.raises(OutputError, match="made from other masks; choose"):
        PairLog(tmp_path, _provenance() | {"masks": {"given": "x"}}, False)
    with pytest.raises(OutputError, match="another sha256"):
        PairLog(tmp_path, _provenance() | {"sha256": "t"}, False)


@pytest.mark.parametrize("left", ["images/p0.png", "labels/p0.tif"])
def test_an_attempt_that_came_to_nothing_is_no_obstacle(tmp_path: Path, left: str) -> None:
    PairLog(tmp_path, _provenance(), False).close()
    PairLog(tmp_path, _provenance(seed=7), False)
    # Killed after its first file: the same settings go on, others are refused.
    (tmp_path / left).write_bytes(b"x")
    assert not PairLog(tmp_path, _provenance(seed=7), False).records
    with pytest.raises(OutputError, match="another seed"):
        PairLog(tmp_path, _provenance(), False)


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_a_damaged_provenance_is_not_written_over(tmp_path: Path, text: str) -> None:
    (tmp_path / PROVENANCE).write_text(text)
    with pytest.raises(OutputError, match="is damaged"):
        PairLog(tmp_path, _provenance(), False)
    assert (tmp_path / PROVENANCE).read_text() == text


@pytest.mark.parametrize("held", ["images/a.png", "labels/a.tif", SPLIT])
def test_what_others_made_is_not_touched(tmp_path: Path, held: str) -> None:
    (tmp_path / held).parent.mkdir(exist_ok=True)
    (tmp_path / held).write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"holds .* that this command did not make"):
        PairLog(tmp_path, _provenance(), False)
    assert (tmp_path / held).read_bytes() == b"mine"


def test_the_masks_own_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.tif").write_bytes(b"mine")
    PairLog(tmp_path, _provenance(), True)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(OutputError, match=r"Cannot write"):
        PairLog(tmp_path / "out", _provenance(), False)


def test_of_a_set_that_came_to_nothing_nothing_stays(tmp_path: Path) -> None:
    PairLog(tmp_path / "out", _provenance(), False).close()
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    PairLog(tmp_path / "out", _provenance(), False).close()
    assert not list((tmp_path / "out").iterdir())  # the folder was there before


def test_what_a_killed_attempt_has_left_stays_known(tmp_path: Path) -> None:
    log = PairLog(tmp_path / "out", _provenance(), False)
    log.image("p0").write_bytes(b"x")
    log.close()
    assert not PairLog(tmp_path / "out", _provenance(), False).records


def test_several_threads_record(tmp_path: Path) -> None:
    log = PairLog(tmp_path, _provenance(), False)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda index: log.add([_pair(log, index)]), range(40)))
    assert PairLog(tmp_path, _provenance(), False).records.keys() == set(range(40))
