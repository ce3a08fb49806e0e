from __future__ import annotations

import pickle

import pytest

from pri3d_data.errors import DataError, Pri3DError, StorageError, UsageError

FULL = DataError(
    "the depth image is broken.", file="scans/a.sens", offset=640, frame=7, remedy="Fetch it again."
)


def test_data_error_names_file_frame_offset_reason_and_remedy_in_one_sentence() -> None:
    assert str(FULL) == "scans/a.sens frame 7 at byte 640: the depth image is broken. Fetch it again."


def test_data_error_leaves_out_what_is_not_known() -> None:
    assert str(DataError("is empty.")) == "is empty."
    assert str(DataError("is empty.", file="a.ply")) == "a.ply: is empty."
    assert str(DataError("is empty.", file="a.ply", offset=0)) == "a.ply at byte 0: is empty."
    assert str(DataError("is empty.", file="a.ply", frame=0)) == "a.ply frame 0: is empty."


@pytest.mark.parametrize("error", [FULL, DataError("is empty.")])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_data_error_reaches_another_process_with_every_field(error: DataError, protocol: int) -> None:
    arrived = pickle.loads(pickle.dumps(error, protocol))
    assert type(arrived) is DataError
    assert str(arrived) == str(error)
    for field in ("reason", "file", "offset", "frame", "remedy"):
        assert getattr(arrived, field) == getattr(error, field)


class OfAnotherKind(DataError):
    pass


def test_a_subclass_stays_itself_on_the_way_to_another_process() -> None:
    assert type(pickle.loads(pickle.dumps(OfAnotherKind("x", file="y")))) is OfAnotherKind


def test_every_error_is_caught_by_the_family_and_tells_its_exit_status() -> None:
    for error, status in ((FULL, 2), (UsageError("no"), 2), (StorageError("full"), 3)):
        with pytest.raises(Pri3DError) as caught:
            raise error
        assert caught.value.exit_status == status
