"""Images in stores: fsspec's in-memory one, which every test has to itself, with faults put into it."""

import io
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations

from helpers import ROOT, addresses, archives, dataset, files, params, pictures, prepare, records, redact, remote, sources, steps
from helpers.errors import ParameterError, UserError
from helpers.remote import Address
from helpers.streaming import Stream
from tests.test_dataset import contents, tarred
from tests.test_prepare import HOW, pack
from tests.test_streaming import streamed

NAMES = ["images", "images.tar", "images.tar.gz", "images.zip"]


@pytest.fixture
def memory(monkeypatch):
    """An in-memory store without anything in it."""
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return fsspec.filesystem("memory")


@pytest.fixture
def put(memory, image_folder, tmp_path):
    """Return a function that puts the images as a folder or an archive both here and into the store: (path, address)."""

    def made(name):
        path = image_folder if name == "images" else pack(image_folder, tmp_path / name)
        memory.put(str(path), f"/bucket/{name}", recursive=True)
        return path, f"memory://bucket/{name}"

    return made


def prepared(folder, images, labels, **settings):
    """Prepare images as the notebook does and return data.json without what tells of the source and of time."""
    settings = params.check(params.PrepareData, run=str(folder), images=images, labels=str(labels), **settings)
    step = steps.Step(records.Data, settings)
    source = archives.open_source(images, step.artefacts)
    found = dataset.read(source, settings.labels, 3, []).subset(settings.subset, settings.seed)
    made = prepare.prepare(step, source, found, HOW)
    told = {"preprocess": HOW, "preprocess_source": "test", "preprocess_differs": {}}
    saved = step.save(**dataset.body(settings, source, found, 3), **made.body(), **told)
    body = saved.model_dump(include=set(records.Data.model_fields) - set(records.Record.model_fields) - {"throughput"})
    return saved, {key: value for key, value in body.items() if key not in ("source", "source_sha256")}


@pytest.mark.parametrize("name", NAMES)
def test_a_store_gives_the_data_that_the_path_gives(put, label_file, tmp_path, name):
    path, address = put(name)
    here, expected = prepared(tmp_path / "here", str(path), label_file)
    there, found = prepared(tmp_path / "there", address, label_file)
    assert found == expected
    assert found["images"] == 20
    assert (here.source, there.source) == (name, address)
    by_file, found = prepared(tmp_path / "file", f"file://{path}", label_file)
    assert found == expected
    assert (by_file.source, by_file.source_sha256) == (name, here.source_sha256)


def test_a_file_address_may_be_relative_to_the_repository():
    assert sources.images("file://demo/images.tar.gz") == ROOT / "demo" / "images.tar.gz"
    with pytest.raises(ParameterError, match=r"images: /nowhere/val does not exist"):
        sources.images("file:///nowhere/val")


@pytest.mark.parametrize("name", NAMES)
def test_images_of_a_store_can_be_streamed_and_looked_at(put, label_file, tmp_path, name):
    path, address = put(name)
    data = prepared(tmp_path / "run", address, label_file, store="sample")[0]
    batches = [batch for _, batch in Stream.of(tmp_path / "run", data, HOW, 2).batches(8)]
    local = [batch for _, batch in streamed(tmp_path / "local", path, label_file).batches(8)]
    np.testing.assert_array_equal(np.concatenate(batches), np.concatenate(local))
    expected = pictures.of(tmp_path / "local" / "run", steps.load(records.Data, tmp_path / "local" / "run"), [2, 7])
    np.testing.assert_array_equal(pictures.of(tmp_path / "run", data, [2, 7]), expected)


def test_other_images_than_the_manifest_was_made_of_are_noticed(put, memory, label_file, tmp_path):
    data = prepared(tmp_path / "run", put("images")[1], label_file, store="sample")[0]
    memory.pipe("/bucket/images/image_03.JPEG", b"other")
    with pytest.raises(UserError, match="is not what data.json was made from: run 1_prepare_data again"):
        Stream.of(tmp_path / "run", data, HOW, 2)
    assert pictures.of(tmp_path / "run", data, [2]) is None


def test_a_store_that_changes_while_it_is_read_is_a_warning_in_the_record(put, label_file, tmp_path, monkeypatch):
    real = MemoryFileSystem.cat_file

    def cat_file(self, path, start=None, end=None):
        found = real(self, path, start, end)
        if path.endswith("image_05.JPEG"):
            self.pipe("/bucket/images/image_02.JPEG", found)
        return found

    assert prepared(tmp_path / "before", put("images")[1], label_file)[0].warnings == []
    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    data = prepared(tmp_path / "run", "memory://bucket/images", label_file)[0]
    [warning] = data.warnings
    assert warning.startswith("images changed while its images were prepared, so that they may be of either state: run 1_prepare_data")


def test_entries_of_a_folder_in_a_store_that_are_no_images_of_its_own_are_listed(memory, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 3)
    for name in ("b.png", "cat/a.PNG", "text.txt", "cat/large.png", "..\\up.png", "cat.png/c::d?.png"):
        memory.pipe(f"/bucket/val/{name}", b"1234" if "large" in name else name[:3].encode())
    listing = archives.listing(Address("memory://bucket/val"))
    assert listing.names == ["b.png", "cat.png/c::d?.png", "cat/a.PNG"]
    assert [(entry.name, entry.reason) for entry in listing.rejected] == [
        ("..\\up.png", "its path leaves the archive"),
        ("cat/large.png", "0.0 GB: too large for an image"),
    ]
    reads = {name: read() for name, read in archives.read_images(Address("memory://bucket/val/"), listing.names)}
    assert reads == {"b.png": b"b.p", "cat.png/c::d?.png": b"cat", "cat/a.PNG": b"cat"}


def test_a_whole_store_is_a_folder_too(memory):
    memory.pipe("/a.png", b"a")
    assert contents(Address("memory://")) == {"a.png": b"a"}


def test_an_object_that_vanishes_while_it_is_read_is_one_rejected_image(put, memory, label_file, tmp_path, monkeypatch):
    real = MemoryFileSystem.cat_file

    def cat_file(self, path, start=None, end=None):
        if path.endswith("image_05.JPEG"):
            memory.store.pop("/bucket/images/image_05.JPEG", None)
        return real(self, path, start, end)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    data = prepared(tmp_path / "run", put("images")[1], label_file, max_rejected=1, other_ways=0)[0]
    assert [(entry.name, entry.reason) for entry in data.rejected] == [("image_05.JPEG", "it is not in the store any more")]
    assert data.images == 19


def test_an_archive_that_vanishes_while_it_is_read_rejects_what_was_in_it(put, memory):
    address = Address(put("images.tar")[1])
    reads = dict(archives.read_images(address, archives.listing(address).names))
    memory.store.clear()
    with pytest.raises(FileNotFoundError, match="it is not in the store any more"):
        reads["val/image_05.JPEG"]()


class Lost(Exception):
    """No OSError, as many a package's errors are none."""


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_connection_stops_the_run_and_what_is_done_is_kept(put, label_file, tmp_path, name, monkeypatch):
    """Were it a rejected image, the network would decide which images count."""
    _, address = put(name)
    monkeypatch.setattr("helpers.store.CHECKPOINT_IMAGES", 4)
    monkeypatch.setattr(prepare, "CHUNK", 4)
    monkeypatch.setattr(prepare.environment, "cores", lambda: 1)
    monkeypatch.setattr(remote, "AHEAD_BYTES", 2048)
    real, asked = MemoryFileSystem.cat_file, []

    def cat_file(self, path, start=None, end=None):
        asked.append(path)
        if len(asked) == limit:
            raise Lost("https://store/val?X-Amz-Signature=secret timed out\nmore")
        return real(self, path, start, end)

    limit = None
    prepared(tmp_path / "first", address, label_file)  # from here on the list of a plain tar is known
    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    prepared(tmp_path / "whole", address, label_file)
    limit = len(asked) - 2
    asked.clear()
    with pytest.raises(UserError) as caught:
        prepared(tmp_path / "run", address, label_file, max_rejected=20)
    assert str(caught.value) == (
        f"{address} can't be reached (https://store/val?… timed out): check the connection and your rights there, then run it again."
    )
    whole, limit = limit, None
    asked.clear()
    again, told = prepared(tmp_path / "run", address, label_file, max_rejected=20)
    assert (again.images, told["rejected"]) == (20, [])
    assert len(asked) < whole or name == "images.tar.gz"  # which is read from its beginning


@pytest.mark.parametrize("method", ["info", "ls"])
def test_a_store_that_can_not_be_listed_is_one_sentence(put, monkeypatch, method):
    address = put("images")[1]

    def fail(*_, **__):
        raise Lost("no route")

    monkeypatch.setattr(MemoryFileSystem, method, fail)
    with pytest.raises(UserError, match=r"^memory://bucket/images can't be reached \(no route\): check the connection"):
        archives.listing(archives.open_source(address, None))
    with pytest.raises(UserError, match="can't be reached"):
        files.sha256(Address(address))


def failing(cause):
    """Return what fails as fsspec's HTTP does, whatever went wrong."""

    def fail(self, path):
        raise FileNotFoundError(path) from cause

    return fail


def test_an_address_without_anything_is_a_wrong_parameter(memory, monkeypatch):
    settings = params.check(params.PrepareData, images="memory://bucket/nothing")
    with pytest.raises(ParameterError, match=r"^images: memory://bucket/nothing does not exist: correct the address\.$"):
        settings.files()
    monkeypatch.setattr(MemoryFileSystem, "info", failing(Lost("Cannot connect to https://host/val?key=secret")))
    with pytest.raises(ParameterError, match=r"nothing does not exist \(Cannot connect to https://host/val\?…\): correct the address"):
        settings.files()


def test_a_file_in_a_store_that_is_no_archive_is_refused(memory):
    memory.pipe("/bucket/text", b"x" * 2000)
    with pytest.raises(UserError, match="memory://bucket/text is neither a folder nor a whole tar or zip archive"):
        archives.open_source("memory://bucket/text", None)


def test_an_address_without_the_right_to_it_is_a_wrong_parameter(put, monkeypatch):
    address = put("images")[1]

    def forbid(*_):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(MemoryFileSystem, "info", forbid)
    with pytest.raises(ParameterError, match=r"^images: memory://bucket/images may not be read \(Access Denied\): ask for the right to\.$"):
        sources.images(address)


def test_a_store_that_does_not_answer_is_one_sentence(put, monkeypatch):
    address, over = put("images")[1], threading.Event()
    monkeypatch.setattr(addresses, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(MemoryFileSystem, "info", lambda *_: over.wait())
    with pytest.raises(UserError, match=r"^memory://bucket/images gives no answer in 0.01 s: check the address and the connection\.$"):
        sources.images(address)
    over.set()


def test_a_missing_package_is_named(monkeypatch):
    missing = {"class": "no_such_package.FileSystem", "err": "Install nowherefs to access Nowhere"}
    monkeypatch.setitem(known_implementations, "nowhere", missing)
    with pytest.raises(ParameterError, match=r"images: nowhere:// needs a package .* \(Install nowherefs to access Nowhere\): install it"):
        sources.images("nowhere://bucket/val")
    with pytest.raises(ParameterError, match=r"images: no-such:// is unknown to fsspec: give a path, or an address such as s3://"):
        sources.images("no-such://bucket/val")


SECRET = [
    "s3://AKIAKEY:topsecret@bucket/val",
    "s3://AKIAKEY:top/secret@bucket/val",  # a secret may hold slashes
    "s3://AKIAKEY:123/topsecret@bucket/val",
    "https://topsecret@host/val.tar",
    "https://host/val.tar?token=topsecret",
    "https://host/val.tar#topsecret",
    "abfs://user:topsecret@account/val",
    "ftp://me@host/topsecret",
]


@pytest.mark.parametrize("address", SECRET)
def test_an_address_with_a_secret_is_refused_without_showing_it(address):
    with pytest.raises(ParameterError) as caught:
        params.check(params.PrepareData, images=address)
    assert "images: an address with a user, a key or a query is refused" in str(caught.value)
    assert "secret@" not in str(caught.value)
    assert "topsecret" not in str(caught.value)


PLAIN = ["abfs://container@account.dfs.core.windows.net/val", "https://host:8080/val.tar", "s3://bucket/a@b", "s3://b", "/data/a?b#c@d:e"]


@pytest.mark.parametrize("address", [*PLAIN, "file:///data/a?b#c@d", "demo/images.tar.gz", "C:/val"])
def test_an_address_without_secrets_is_taken_as_it_is(address):
    assert params.check(params.PrepareData, images=address).images == address


def test_addresses_in_addresses_are_refused():
    with pytest.raises(ParameterError, match=r"addresses within addresses \(::\) are not read: give the folder or the archive itself"):
        params.check(params.PrepareData, images="zip://val::s3://key:secret@bucket/x.zip")


@pytest.mark.parametrize("images", ["file:///srv/my data/val", "file:///srv/val"])
def test_a_page_shows_no_path_of_a_file_address(images):
    hidden = redact.Redaction({"images": images})
    assert "srv" not in hidden(f"images: {images}.")
    assert hidden("images: s3://bucket/val.") == "images: s3://bucket/val."


def test_the_identity_follows_names_sizes_and_versions(memory):
    memory.pipe("/bucket/val/a/b.png", b"one")
    address = Address("memory://bucket/val")
    first = address.identity()
    assert Address("memory://bucket/val/").identity() == files.sha256(address) == first
    memory.pipe("/bucket/val/a/b.png", b"two")  # written at another time
    second = address.identity()
    memory.pipe("/bucket/val/c.txt", b"")
    assert len({first, second, address.identity()}) == 3


@pytest.mark.parametrize(
    ("info", "version"),
    [
        ({"ETag": '"5eb6"', "LastModified": "2026-01-01"}, '"5eb6"'),  # S3
        ({"md5Hash": "XrY7", "etag": "CJ1=", "mtime": "2026-01-01"}, "XrY7"),  # Google Cloud: its etag changes with metadata
        ({"etag": "0x8D", "last_modified": "2026-01-01"}, "0x8D"),  # Azure
        ({"mtime": 17}, "17"),  # SFTP
        ({"ETag": None, "Last-Modified": "Thu"}, "Thu"),  # HTTP
        ({}, ""),
    ],
)
def test_the_version_of_an_object_is_its_content_s_where_the_store_tells(info, version):
    assert remote.version(info) == version


def test_the_same_content_elsewhere_has_the_same_identity_where_the_store_knows_content(memory, monkeypatch):
    monkeypatch.setattr(remote, "TIME", ())
    for bucket in ("a", "b"):
        memory.pipe(f"/{bucket}/val/x.png", b"x")
    assert Address("memory://a/val").identity() == Address("memory://b/val").identity()


def test_of_a_plain_tar_and_a_zip_parts_are_fetched(memory, tmp_path, monkeypatch):
    """100 images of 100,000 bytes: of two of them, and of what says where they are, a fraction is fetched."""
    monkeypatch.setattr(remote, "AHEAD_BYTES", 4096)
    asked, real = [], MemoryFileSystem.cat_file

    def cat_file(self, path, version_id=None, start=None, end=None):  # in s3fs's order
        found = real(self, path, start, end)
        asked.append(len(found))
        return found

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    members = [(f"{number}.png", bytes([number]) * 100_000) for number in range(100)]
    tarred(tmp_path / "x.tar", members)
    memory.put(str(tmp_path / "x.tar"), "/bucket/x.tar")
    with fsspec.open("memory://bucket/x.zip", "wb") as file, archives.zipfile.ZipFile(file, "w") as packed:
        for name, content in members:
            packed.writestr(name, content)
    for name, most in (("x.tar", 100 * 4096 * 2), ("x.zip", 50_000)):
        address = Address(f"memory://bucket/{name}")
        assert len(archives.listing(address).names) == 100
        assert sum(asked) < most
        asked.clear()
        assert [read() for _, read in archives.read_images(address, ["7.png", "93.png"])] == [members[7][1], members[93][1]]
        assert sum(asked) < 300_000  # the tar's list is not walked through again
        asked.clear()


@pytest.mark.parametrize("name", NAMES)
def test_many_threads_read_at_once(put, image_folder, name):
    address = Address(put(name)[1])
    images = list(archives.read_images(address, archives.listing(address).names)) * 10
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda image: (image[0].rpartition("/")[2], image[1]()), images))
    assert all(content == (image_folder / name).read_bytes() for name, content in found)


def test_an_address_can_be_handed_to_another_process(put):
    address = Address(put("images")[1])
    first = address.identity()
    assert pickle.loads(pickle.dumps(address)) == address
    assert pickle.loads(pickle.dumps(address)).identity() == first


def test_a_server_that_gives_the_whole_is_not_used(put, monkeypatch):
    address = put("images.tar")[1]
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda self, path, start=None, end=None: bytes(10**7))
    with pytest.raises(UserError, match="images.tar is not given in parts by its server: fetch it and give its path"):
        archives.open_source(address, None)


def test_a_file_whose_size_is_not_told_is_not_used(put, monkeypatch):
    address = put("images.tar")[1]
    monkeypatch.setattr(MemoryFileSystem, "info", lambda *_: {"name": "/bucket/images.tar", "type": "file", "size": None})
    with pytest.raises(UserError, match="images.tar has no size that its server tells: fetch it and give its path"):
        archives.open_source(address, None)


def test_a_file_in_a_store_is_read_as_one_here(memory):
    memory.pipe("/bucket/x", bytes(range(100)))
    with Address("memory://bucket/x").open() as file:
        assert (file.read(3), file.tell()) == (b"\0\1\2", 3)
        assert (file.seek(-2, io.SEEK_END), file.read()) == (98, b"bc")
        assert (file.seek(10), file.seek(5, io.SEEK_CUR), file.read(1)) == (10, 15, b"\x0f")
        with pytest.raises(OSError, match="a place before the beginning"):
            file.seek(-101, io.SEEK_END)
        file.seek(200)
        assert file.read(1) == b""
