"""Archives made to break the reader: each is refused by name, and none of it is followed or unpacked."""

import bz2
import gzip
import io
import os
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader import places
from grader.archives import format_of, look_in_archive
from grader.intake import take_in
from grader.places import Places, Refused
from tests.grader.handed_in import CODE, one, tar_bytes, write, zip_bytes

MODULES = {"ch3": "attention"}
MIB = 2**20


def refused(folder, data: bytes, name: str = "alice.zip") -> str:
    """The one line that says why a submission, or its module, is refused."""
    (folder / name).write_bytes(data)
    submission = one(folder, MODULES)
    assert os.listdir(folder) == [name]  # nothing was unpacked
    problems = [*submission.problems, *(module.problem for module in submission.modules.values())]
    assert not any(module.source for module in submission.modules.values()) and len(problems) == 1
    assert problems[0].isprintable()
    return problems[0]


# ---- paths ----

SLIPS = {
    "../attention.py": "has .. in its name",
    "ch3/../../attention.py": "has .. in its name",
    "/attention.py": "has a path from the root in its name",
    "C:/attention.py": "has a drive in its name",
    "C:attention.py": "has a drive in its name",
    "ch3\\attention.py": "has a backslash in its name",
    "\\\\server\\attention.py": "has a backslash in its name",
    "a/" * 40 + "attention.py": "has more than 32 folders in its name",
    "a" * 2000 + "/attention.py": "has more than 1024 characters in its name",
}


@pytest.mark.parametrize("name", SLIPS)
def test_paths_that_lead_out_are_refused(tmp_path, name):
    for number, data in enumerate(
        (zip_bytes({name: CODE}), tar_bytes({name: CODE}, format=tarfile.PAX_FORMAT))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert SLIPS[name] in refused(folder, data)


def test_a_nul_in_a_name_is_refused(tmp_path):
    data = zip_bytes({"attention.py_.txt": CODE}).replace(b"attention.py_.txt", b"attention.py\0.txt")
    assert refused(tmp_path, data) == "attention.py\\x00.txt has a NUL in its name, and is not read"


def test_a_slip_does_not_cost_the_rest(tmp_path):
    (tmp_path / "alice.zip").write_bytes(zip_bytes({"../../etc/passwd": "x", "attention.py": CODE}))
    submission = one(tmp_path)
    assert submission.modules["ch3"].source == CODE
    assert submission.problems == ("../../etc/passwd has .. in its name, and is not read",)


def test_many_slips_are_counted_and_not_listed(tmp_path):
    (tmp_path / "alice.zip").write_bytes(zip_bytes({f"../{n}": "" for n in range(500)}))
    problems = one(tmp_path).problems
    assert len(problems) == 11 and problems[-1] == "and 490 more problems"


@pytest.mark.parametrize(
    "name",
    [
        "a\nb\x1b[2J.py",
        "\u202eyp.noitnetta",
        "con",
        "nul.py",
        "x" * 255,
        "\udcff\udcfe.py",
        "a\u2028b",
        "`$(x)`;'\"",
    ],
)
def test_odd_names_beside_the_module_do_no_harm(tmp_path, name):
    entries = {f"ch3/{name}": "x", "ch3/attention.py": CODE}
    (tmp_path / "alice.tar").write_bytes(
        tar_bytes(entries, format=tarfile.GNU_FORMAT, errors="surrogateescape")
    )
    submission = one(tmp_path)
    assert submission.modules["ch3"].source == CODE and submission.problems == ()


def test_odd_names_are_printed_safely(tmp_path):
    name = "../\x1b[31m\u202e\n" + "long" * 100
    (tmp_path / "alice.tar").write_bytes(tar_bytes({name: "x", "attention.py": CODE}))
    [problem] = one(tmp_path).problems
    assert problem.isprintable() and len(problem) < 200 and "\\x1b[31m\\u202e\\n" in problem


# ---- what is no file ----


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "neither a file nor a folder"),
        (tarfile.BLKTYPE, "neither a file nor a folder"),
        (tarfile.FIFOTYPE, "neither a file nor a folder"),
    ],
)
def test_links_and_devices_in_tars_are_refused(tmp_path, kind, said):
    info = tarfile.TarInfo("attention.py")
    info.type, info.linkname = kind, "/etc/passwd"
    assert refused(tmp_path, tar_bytes([info])) == f"attention.py is {said}, and is not read"


@pytest.mark.parametrize(
    ("kind", "said"),
    [(stat.S_IFLNK, "a symbolic link"), (stat.S_IFIFO, "neither a file"), (stat.S_IFCHR, "neither a file")],
)
def test_links_and_devices_in_zips_are_refused(tmp_path, kind, said):
    info = zipfile.ZipInfo("attention.py")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    assert said in refused(tmp_path, zip_bytes([(info, "/etc/passwd")]))


def test_a_linked_folder_is_not_followed(tmp_path):
    info = tarfile.TarInfo("ch3")
    info.type, info.linkname = tarfile.SYMTYPE, "/work"
    assert "ch3 is a symbolic link" in refused(tmp_path, tar_bytes([info]))


@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tars_of_all_formats_are_read(tmp_path, format_):
    long = "a" * 80 + "/exercises/ch3/attention.py"  # more than the header's field holds
    (tmp_path / "alice.tar").write_bytes(tar_bytes({long: CODE, "a" * 80 + "/x": "x"}, format=format_))
    assert one(tmp_path).modules["ch3"].source == CODE


def test_a_tar_as_git_archive_makes_it(tmp_path):
    data = tar_bytes(
        {"my-gpt/attention.py": CODE}, format=tarfile.PAX_FORMAT, pax_headers={"comment": "0123abcd"}
    )
    assert data[156:157] == b"g"
    (tmp_path / "alice.tar").write_bytes(data)
    assert one(tmp_path).modules["ch3"].source == CODE


def test_a_file_with_holes_is_refused(tmp_path):
    info = tarfile.TarInfo("attention.py")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
    assert "neither a file" in refused(tmp_path, tar_bytes([info], format=tarfile.PAX_FORMAT))
    header = bytearray(tar_bytes({"attention.py": CODE}))
    header[156:157], header[482] = b"S", 1
    assert "with holes" in refused(tmp_path, bytes(_checked(header)))


def _checked(tar: bytearray) -> bytearray:
    """With the right sum in its first header."""
    tar[148:156] = b" " * 8
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    return tar


# ---- sizes ----


def test_a_module_that_is_too_large_is_refused(tmp_path):
    large = "x = 1\n" * 200_000
    for name, data in {
        "zip": zip_bytes({"attention.py": large}),
        "tar": tar_bytes({"attention.py": large}),
    }.items():
        (tmp_path / name).mkdir()
        assert refused(tmp_path / name, data) == "attention.py is larger than 1 MiB"


def test_an_archive_that_is_too_large_is_refused_unread(tmp_path):
    with open(tmp_path / "alice.zip", "wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(201 * MIB)  # takes no room on the disk
    assert one(tmp_path).problems == ("alice.zip is larger than 200 MiB",)


def test_too_many_entries_are_refused(tmp_path):
    names = {f"{n}": "" for n in range(places.ENTRIES + 1)}
    for name, data in {"zip": zip_bytes(names), "tar": tar_bytes(names)}.items():
        (tmp_path / name).mkdir()
        assert refused(tmp_path / name, data) == "alice.zip holds more than 10,000 entries, and is not read"


def test_a_table_of_contents_without_end_is_refused_unparsed(tmp_path):
    """The table names the same entry 200,000 times; it is not even made into objects."""
    data = zip_bytes({"attention.py": CODE})
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    table = data[start:end] * 200_000
    tail = bytearray(data[end:])
    struct.pack_into("<I", tail, 12, len(table))
    assert "table of contents of more than 4 MiB" in refused(tmp_path, data[:start] + table + tail)


def test_a_zip_bomb_is_refused_by_its_ratio(tmp_path):
    assert "more than 200 times its size" in refused(tmp_path, zip_bytes({"zeros": bytes(50 * MIB)}))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_tar_bomb_is_refused_before_it_fills_anything(tmp_path, pack):
    bomb = pack(tar_bytes({"zeros": bytes(100 * MIB), "attention.py": CODE}))
    tracemalloc.start()
    assert "more than 200 times its size" in refused(tmp_path, bomb)
    assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    tracemalloc.stop()


def test_more_than_an_archive_may_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "UNPACKED", MIB)
    for name, data in {
        "zip": zip_bytes({"x": os.urandom(2 * MIB)}),
        "tar": tar_bytes({"x": bytes(2 * MIB)}),
    }.items():
        (tmp_path / name).mkdir()
        assert "holds more than 1 MiB" in refused(tmp_path / name, data)


def test_many_files_of_the_right_name_do_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "READ", 3 * len(CODE))
    files = {f"{n}/attention.py": CODE for n in range(5)}
    problem = refused(tmp_path, zip_bytes(files))
    assert "are all there" in problem


def test_a_long_tar_header_is_refused(tmp_path):
    info = tarfile.TarInfo("attention.py")
    info.pax_headers = {"comment": "x" * 100_000}
    assert "of more than 64 KiB" in refused(tmp_path, tar_bytes([info], format=tarfile.PAX_FORMAT))


def test_headers_without_end_are_refused(tmp_path):
    header = _checked(bytearray(tar_bytes({"x": ""})[:512]))
    header[156:157] = b"x"
    assert "more than 10,000 entries" in refused(tmp_path, bytes(_checked(header)) * 40_000)


def test_an_archive_in_an_archive_stays_shut(tmp_path):
    inner = zip_bytes({"attention.py": CODE})
    assert refused(tmp_path, zip_bytes({"inner.zip": inner})) == "inner.zip: an archive inside is not opened"


# ---- lies and damage ----


@pytest.mark.parametrize("size", [3, len(CODE) - 1, len(CODE) + 1, 2**31])
def test_a_size_that_is_a_lie_is_refused(tmp_path, size):
    data = bytearray(zip_bytes({"attention.py": CODE}))
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, size)
    assert refused(tmp_path, bytes(data)).startswith(
        ("attention.py has not the size", "attention.py is larger", "alice.zip")
    )


def test_a_declared_size_that_hides_a_bomb_is_refused(tmp_path):
    data = bytearray(zip_bytes({"attention.py": b"#" * 30 * MIB}))
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 100)
    tracemalloc.start()
    said = refused(tmp_path, bytes(data))
    assert said == "attention.py has not the size that its archive says, and is not read"
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()


@pytest.mark.parametrize(
    "record", [b"0 path=x\n", b"-9 path=x\n", b"99 path=x\n", b"1 x=y\n", b"path=x\n", b" 9 a=b\n"]
)
def test_a_broken_record_in_a_tar_header_is_refused(tmp_path, record):
    header = bytearray(tar_bytes({"attention.py": record})[:1024])
    header[156:157] = b"x"
    data = bytes(_checked(header)) + tar_bytes({"attention.py": CODE})
    assert "the header of an entry is broken" in refused(tmp_path, data)


def test_a_wrong_checksum_is_refused(tmp_path):
    data = zip_bytes({"attention.py": CODE}, compression=zipfile.ZIP_STORED)
    assert "Bad CRC-32" in refused(tmp_path, data.replace(b"return size", b"return sike"))


def test_two_names_of_one_entry_are_refused(tmp_path):
    data = zip_bytes({"attention.py": CODE}, compression=zipfile.ZIP_STORED).replace(
        b"attention.py", b"innocent.py!", 1
    )
    assert "the archive is damaged" in refused(tmp_path, data)


def test_an_encrypted_zip_is_refused(tmp_path):
    data = bytearray(zip_bytes({"attention.py": CODE}))
    for start in (data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8):
        data[start] |= 1
    assert refused(tmp_path, bytes(data)) == "attention.py is encrypted: hand it in without a password"


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing_is_refused(tmp_path, compression):
    assert "packed in an unusual way" in refused(
        tmp_path, zip_bytes({"attention.py": CODE}, compression=compression)
    )


@pytest.mark.parametrize("magic", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x01\x00", b"\x28\xb5\x2f\xfd"])
def test_archives_that_are_not_read_are_called_by_name(tmp_path, magic):
    assert "archive, which is not read: hand in a zip" in refused(tmp_path, magic + b"x" * 600)


def test_a_packed_file_that_is_no_tar(tmp_path):
    assert "it holds no tar archive" in refused(tmp_path, gzip.compress(CODE.encode() * 50), "alice.py.gz")


@pytest.mark.parametrize("name", ["alice.zip", "alice.tar", "alice.py", "alice"])
def test_the_content_says_the_format_and_not_the_name(tmp_path, name):
    for data in (zip_bytes({"attention.py": CODE}), tar_bytes({"attention.py": CODE}, "w:xz")):
        (tmp_path / name).write_bytes(data)
        submission = one(tmp_path)
        assert (submission.student, submission.modules["ch3"].source) == ("alice", CODE)


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_every_truncation_is_refused_or_harmless(tmp_path, mode):
    files = {"notes.txt": "x" * 700, "attention.py": CODE}
    whole = zip_bytes(files) if mode == "zip" else tar_bytes(files, mode)
    for length in range(0, len(whole), max(1, len(whole) // 150)):
        for module in _taken(whole[:length]):
            assert module == CODE.encode()


def _taken(data: bytes) -> list[bytes]:
    """What an archive's bytes give, with nothing but refusals raised."""
    file = io.BytesIO(data)
    try:
        kind = format_of(file)
        look = look_in_archive(file, kind, Places(MODULES)) if kind else places.Look()
    except Refused as refusal:
        assert str(refusal).isprintable() and len(str(refusal)) < 300
        return []
    assert all(line.isprintable() for line in look.problems)
    return [found.data for found in look.found if not found.problem]


BASES = {
    "zip": zip_bytes({"ch3/attention.py": CODE, "x.txt": "x" * 50}),
    "stored": zip_bytes({"ch3/attention.py": CODE}, compression=zipfile.ZIP_STORED),
    "tar": tar_bytes({"ch3/attention.py": CODE, "long" * 40: "x"}, format=tarfile.PAX_FORMAT)[:6144],
    "gnu": tar_bytes({"ch3/attention.py": CODE, "long" * 40: "x"}, format=tarfile.GNU_FORMAT)[:6144],
    "gz": tar_bytes({"ch3/attention.py": CODE}, "w:gz"),
}


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(BASES)),
    st.lists(st.tuples(st.integers(0, 6143), st.binary(min_size=1, max_size=8)), max_size=6),
    st.booleans(),
)
def test_any_change_of_an_archive_is_survived(base, changes, mend):
    data = bytearray(BASES[base])
    for at, new in changes:
        at %= len(data)
        data[at : at + len(new)] = new
    if mend and base in ("tar", "gnu"):
        _checked(data)
    _taken(bytes(data))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08\x00", b"BZh91AY&SY", b"\xfd7zXZ\0", b""]),
    st.binary(max_size=2000),
)
def test_any_bytes_are_survived(magic, data):
    assert _taken(magic + data) == []


def test_a_hostile_class_is_taken_in_whole(tmp_path):
    """All of it at once, and one honest student among them."""
    write(tmp_path, {"zoe.zip": zip_bytes({"attention.py": CODE})})
    write(tmp_path, {f"bomb{n}.zip": zip_bytes({"zeros": bytes(20 * MIB)}) for n in range(3)})
    write(tmp_path, {f"cut{n}.zip": BASES["zip"][:-n] for n in range(1, 20)})
    write(tmp_path, {"empty.zip": b"", "dir.zip/attention.py/x": "x"})
    taken = take_in(tmp_path, MODULES)
    assert [s.student for s in taken if s.modules] == ["zoe"] and len(taken) == 25
    assert "at fault" not in str(taken)
