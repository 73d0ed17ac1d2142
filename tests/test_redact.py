import base64
import re
import shutil

import pytest

from helpers import ROOT, embedded, records, redact, report, run, steps
from helpers.elements import Figure, Sentence
from helpers.params import Report
from helpers.records import Data, Sweep
from helpers.redact import Redaction
from tests import runs
from tests.test_run import QUICK, write_params


@pytest.fixture
def alice(monkeypatch):
    """A machine of somebody."""
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    monkeypatch.setattr("platform.node", lambda: "pc7.example.org")
    monkeypatch.setenv("HOME", "/srv/homes/alice")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/tmp/x/y.onnx", "…/y.onnx"),
        ("can't read /tmp/x/y.onnx: no space", "can't read …/y.onnx: no space"),
        ("(/tmp/x/y).", "(…/y)."),
        ("--model=/tmp/x/y.onnx,/etc/z", "--model=…/z"),
        ("a:/tmp/x file:///tmp/y/z", "a:…/x …/z"),
        ('run = "/tmp/a b/run"', 'run = "…/run"'),
        ("run = '/tmp/a b/run'", "run = '…/run'"),
        ("../../other/run", "…/run"),
        ("/tmp/pytest-of-alice", "…/pytest-of-(user)"),
        ("/home/bob and /Users/bob, /mnt/c/Users/bob; /srv/homes/alice.", "… and …, …; …."),
        ("/home/bob/x.pth", "…/x.pth"),
        (f"{ROOT}/params/demo.yaml", "…/demo.yaml"),
        ("by alice on pc7", "by (user) on (host)"),
        ("alice_model.onnx of pc7.example.org", "(user)_model.onnx of (host)"),
    ],
)
def test_places_and_names_are_left_out(alice, text, shown):
    assert Redaction()(text) == shown
    assert Redaction()(shown) == shown


def test_hosts_of_workers_are_numbered(alice):
    found = redact.hosts({"units": [{"host": "npu-b"}, {"host": "pc7.example.org"}], "rows": [{"host": {"fps": 1}}, {"host": "npu-a"}]})
    hide = Redaction(hosts=found)
    assert hide("npu-a and npu-b of pc7, worker 2 on npu-b (card 1)") == "(host 1) and (host 2) of (host), worker 2 on (host 2) (card 1)"


def test_hosts_of_workers_that_left_before_they_did_anything_and_that_of_rays_address_are_hidden_too(alice):
    told = {
        "params": {"workers": {"address": "head.lab-3.org:6379"}, "options": [{"address": "auto"}, {"address": ""}]},
        "remarks": ["worker 3 on npu-b (card 1, chip 0, process 7) answers otherwise.", "worker 12 on npu-a left at loading: busy."],
    }
    hide = Redaction(hosts=redact.hosts(told))
    assert hide.everywhere(told) == {
        "params": {"workers": {"address": "(host 1):6379"}, "options": [{"address": "auto"}, {"address": ""}]},
        "remarks": ["worker 3 on (host 3) (card 1, chip 0, process 7) answers otherwise.", "worker 12 on (host 2) left at loading: busy."],
    }


@pytest.mark.parametrize(
    ("address", "shown"), [("head.lab:6379", "(host 1):6379"), ("[fe80::1]:6379", "[(host 1)]:6379"), ("auto", "auto"), ("", "")]
)
def test_the_host_of_a_cluster_is_left_out(alice, address, shown):
    parameters = {"workers": {"engine": "ray", "address": address}}
    assert Redaction(hosts=redact.hosts(parameters)).everywhere(parameters) == {"workers": {"engine": "ray", "address": shown}}


@pytest.mark.parametrize(
    "text",
    [
        "https://pytorch.org/get-started/locally, images/s, T-shirt/top, 1/2, a / b",
        "params/demo.yaml and ./x/y and ~/data",
        "malice is no alices",
        "x = 3 // 2; </td>",
    ],
)
def test_what_names_no_place_stays(alice, text):
    assert Redaction()(text) == text


def test_a_known_path_is_found_whole_where_it_holds_spaces(alice):
    hide = Redaction({"images": ["/mnt/Jane Doe/val"]})
    assert hide("/mnt/Jane Doe/val does not exist; nor does /mnt/Jane Doe/val/a.png.") == "…/val does not exist; nor does …/a.png."


def test_a_short_users_name_stays_and_a_user_without_name_is_no_error(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "bob")
    assert Redaction()("bob: /home/bob/x") == "bob: …/x"

    def nobody():
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert Redaction()("bob") == "bob"


def test_nested_values_are_redacted_but_for_keys_and_numbers(alice):
    assert Redaction().everywhere({"/a/b": ["/a/b", 1, None, ("alice",)]}) == {"/a/b": ["…/b", 1, None, ["(user)"]]}


def test_a_page_keeps_its_style_its_links_and_every_byte_that_hides_nothing(alice):
    page = '<style>a:/home/alice{}</style><p class=number id="x">1 &lt; 2 &quot;x&quot;</p><a href="alice.html">here</a>'
    assert Redaction().page(page) == page


def test_texts_alternative_texts_and_charts_of_a_page_are_redacted(alice):
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><text>on pc7</text><path d="M 0 0"/></svg>'
    page = Redaction().page(Figure(svg, "made at /srv/x & y", "by alice")._repr_html_() + Sentence("see '/home/alice/<a>'")._repr_html_())
    assert 'alt="made at …/x &amp; y"' in page
    assert Redaction().page("<img alt='at \"/srv/a\"'>") == '<img alt="at &quot;…/a&quot;">'
    assert "by (user)" in page
    assert "see &#x27;…/&lt;a&gt;&#x27;" in page
    drawn = base64.b64decode(re.search('base64,([^"]*)', page)[1]).decode()
    assert drawn == svg.replace("pc7", "(host)")


def inputs(tmp_path):
    loaded = steps.load_inputs(records.Report, runs.write(tmp_path / "run"))
    assert isinstance(loaded[0], Data)
    assert isinstance(loaded[-1], Sweep)
    return loaded


def test_the_parameters_to_do_it_again_show_no_folders_unless_asked(tmp_path):
    facts = {"memory_bytes": 1}
    loaded = inputs(tmp_path)
    loaded[-1].environment.update(facts)
    shown = report.again(loaded, Report(), tmp_path)._repr_html_()
    assert "images: …/images.tar" in shown
    assert "Where … or (host) stands, a folder or a host is not shown: write your own." in shown
    assert "somebody" not in shown
    told = report.again(loaded, Report(identify=True), tmp_path)._repr_html_()
    assert "/home/somebody/m.pth" in told
    assert "not shown" not in told


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A whole run with everything at absolute paths: its folder and its parameter file."""
    folder = tmp_path_factory.mktemp("a place")
    for name in ("images.tar.gz", "val_label.txt", "conformer_fmnist.pth"):
        shutil.copy(ROOT / "demo" / name, folder / name)
    places = {"images": "images.tar.gz", "labels": "val_label.txt", "checkpoint": "conformer_fmnist.pth", "run": "run"}
    values = {"subset": 40, **QUICK, "batch_sizes": [1], **{key: str(folder / name) for key, name in places.items()}}
    params = write_params(folder / "p.yaml", "demo", **values)
    assert run.main([str(params)]) == 0
    return folder, params


def told_by(page):
    """Return all that a page says: without its style, with its charts and its records unpacked."""
    text = re.sub(r"<style>.*?</style>", "", page.read_text(), flags=re.DOTALL)
    charts = [base64.b64decode(found).decode() for found in re.findall(r"svg\+xml;base64,([^\"]*)", text)]
    texts = [re.sub(r"base64,[^\"]*|(?<=id=\"records\">)[^<]*", "", text), *charts]
    if page.stem == "report":
        texts += [one.model_dump_json() for one in embedded.unpack(page).records.values()]
    return "\n".join(texts)


def test_no_page_of_a_run_tells_where_and_by_whom_it_was_made(rendered):
    folder, _ = rendered
    for page in (folder / "run").glob("*.html"):
        told = told_by(page)
        assert str(folder) not in told, page.name
        assert str(folder.parent) not in told, page.name
        for name in redact._names(()):
            assert not re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", told), (page.name, name)
    assert "images: …/images.tar.gz" in (folder / "run" / "report.html").read_text()


def test_a_run_that_identifies_itself_shows_its_places(rendered):
    folder, params = rendered
    assert run.main([str(params), "-p", "identify", "true", "--only", "5"]) == 0
    told = told_by(folder / "run" / "report.html")
    assert str(folder / "conformer_fmnist.pth") in told
    assert run.main([str(params)]) == 0
    assert str(folder) not in told_by(folder / "run" / "report.html")
