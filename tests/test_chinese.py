"""The Chinese catalogue: well-formed, of texts that the project still has, and complete for what its pages show."""

import ast
import base64
import html as escapes
import json
import re
from collections.abc import Iterator
from functools import cached_property
from typing import get_args

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from helpers import ROOT, first_screen, html, records, report, run, sections, steps, translation
from helpers.catalogue import PLACE
from helpers.elements import Sentence, Table
from helpers.params import Report

ENTRIES = yaml.safe_load((ROOT / "helpers" / "languages" / "zh.yaml").read_text(encoding="utf-8"))
README, ENGLISH_README = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.zh-CN.md", "README.md"))
SAMPLE = ROOT / "reports" / "sample"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[1-5]_*.ipynb"))
STAY = {  # names, words of the records, parameters and their values
    "AIPP", "BETTER", "CANN", "CMYK", "Core", "EQUIVALENT", "EXIF", "FAIL", "INCONCLUSIVE", "LoadGen", "MLPerf", "McNemar", "NNCF",
    "NOISY", "Offline", "ONNX", "OpenCV", "OpenVINO", "PASS", "Pillow", "RAPL", "README", "REFUSED", "STABLE", "SingleStream",
    "UNSTABLE", "WORSE", "Wilson", "accuracy", "again", "ais_bench", "batch_sizes", "benchmark_app", "bf16", "bicubic", "bilinear",
    "compare_with", "compute", "convert", "data", "device", "flips", "fp32", "helpers", "hint", "host", "int8", "json", "mean", "mmcls",
    "notebook", "official", "onnx", "opset", "options", "other_ways", "params", "prepare_data", "preprocess", "prune", "python",
    "pytorch", "sha256", "simplejpeg", "softmax", "sync", "throughput", "trtexec", "uint8", "yaml", "1_prepare_data", "2_convert",
    "3_accuracy", "aggregate",
}  # fmt: skip
THREE_WORDS = re.compile(r"[A-Za-z]+(?: [a-z]{2,}){2,}")
MOST_RUNS = 3


class Literals:
    """The words of every literal text of modules, notebooks' prose and the page's template, in fragments: a value within ends one."""

    @cached_property
    def text(self) -> str:
        fragments = re.sub(r"<[^>]*>|\{\{|\\", " ", (ROOT / "helpers/templates/report/index.html.j2").read_text(encoding="utf-8")).split(
            "\n"
        )
        for path in (ROOT / "helpers").rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            constants = [node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in docstrings]
            fragments += [value for value in constants if isinstance(value, str)]
        for path in NOTEBOOKS:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
            fragments += re.split(r"\n\n|\[[^]]*\]\([^)]*\)|`[^`]*`|\*[^* ]+\*", prose)
            fragments += re.findall(r"(?<=\[)[^]]*(?=\]\()", prose)
        return "|".join(["", *(f" {words(fragment)} " for fragment in fragments), ""])

    def hold(self, piece: str) -> bool:
        """Whether a piece is made of few runs of words of fragments, each ending where its fragment ends or the next begins one."""
        tokens = words(piece).split()
        reached = {(0, True)}
        for _ in range(MOST_RUNS):
            reached |= {run for start, ended in reached for run in self._runs(tokens, start, ended)}
        return any(end == len(tokens) for end, _ in reached)

    def _runs(self, tokens: list[str], start: int, ended: bool) -> Iterator[tuple[int, bool]]:
        for end in range(start + 1, len(tokens) + 1):
            run = f" {' '.join(tokens[start:end])} "
            if run not in self.text:
                return
            if ended or f"|{run}" in self.text:
                yield end, f"{run}|" in self.text


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def wrong(translation: str, places: int) -> bool:
    """Whether a place is missing or there twice, an English word is left, or a sign is not full-width."""
    found = sorted(int(place) for place in re.findall(r"\{(\d+)\}", translation))
    english = set(re.findall(r"[A-Za-z0-9]\w{3,}", re.sub(r"\{\d+\}", " ", translation))) - STAY
    signs = re.search(r"[\u4e00-\u9fff] ?[,;:?!]|[,;:?!][\u4e00-\u9fff]|\{\}|  ", translation)
    return found != list(range(places)) or any(re.search("[a-z]{4}", word.lower()) for word in english) or bool(signs)


def test_every_translation_has_every_place_once_and_no_english():
    assert [entry for entry in ENTRIES if wrong(ENTRIES[entry], len(PLACE.findall(entry)))] == []


@pytest.mark.parametrize("translation", ["{0}，{0}", "{0}", "{0} and {1} differ", "{0},和 {1}", "{1} 和 {2}"])
def test_a_wrong_translation_is_seen(translation):
    assert wrong(translation, 2)


def test_every_sentence_is_still_said_somewhere():
    literals = Literals()
    assert [entry for entry in ENTRIES if not all(map(literals.hold, PLACE.split(entry)))] == []
    assert not literals.hold("The ratio is baseline over candidate.")


def test_places_of_any_text_do_not_touch_and_a_sentence_has_a_word():
    assert [entry for entry in ENTRIES if "{}{" in entry or "}{}" in entry or not re.search(r"[A-Za-z]|×", entry)] == []


def page(*elements) -> str:
    """A page in Chinese that shows elements."""
    cells = [nbformat.v4.new_output("display_data", data={"text/html": element._repr_html_()}) for element in elements if element]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=cells, metadata={"tags": ["hide"]})])
    return translation.translated(
        html.export(notebook, "t", "Run r, notebook 5_report. This page holds no script and loads nothing."), "zh"
    )


def english(text: str) -> list[str]:
    """Runs of three English words or more that a page still shows, says or has in a chart."""
    soup = BeautifulSoup(text, "html.parser")
    for element in soup(["pre", "code", "style", "title"]):
        element.decompose()
    shown = list(soup.stripped_strings)
    for element in soup.find_all(True):
        shown += [element[name] for name in translation.SPOKEN if element.has_attr(name)]
        if element.get("src", "").startswith(translation.SVG):
            svg = base64.b64decode(element["src"].removeprefix(translation.SVG)).decode()
            shown += map(escapes.unescape, re.findall("<text[^>]*>([^<]*)<", svg))
    return list(dict.fromkeys(found[0] for one in shown for found in THREE_WORDS.finditer(one)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_heading_and_all_prose_of_a_notebook_is_translated(path):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    shown = translation.translated(html.export(notebook, "t", ""), "zh")
    soup = BeautifulSoup(shown, "html.parser")
    assert english(shown) == []
    assert [found.get_text() for found in soup.find_all(["h1", "h2", "p"]) if not re.search("[\u4e00-\u9fff]", found.get_text())] == []


def test_a_report_of_the_sample_is_translated_but_for_names():
    every = data, model, accuracy, sweep = [steps.load(kind, SAMPLE) for kind in records.KINDS[:4]]
    settings = Report(run="sample", title="t", language="zh")
    elements = [first_screen.shown(*every), sections.measured(data, model, sweep), sections.same_model(*every), sections.how_fast(*every)]
    elements += [sections.as_accurate(SAMPLE, accuracy), sections.how_sure(sweep), report.again(tuple(every), settings, SAMPLE)]
    shown = page(*elements)
    assert english(shown.replace(accuracy.reference.source, "")) == []


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (
            "PASS: m in ort fp32 on cpu is as accurate as its reference, within 0.5 points, and runs at 1.50 times the speed of torch.",
            "PASS：m 在 cpu 上用 ort fp32 运行，精度与参考值相当（下降不超过 0.5 个百分点），速度是 torch 的 1.50 倍。",
        ),
        (
            "FAIL: the converted model of m is refused and gets neither an accuracy nor a speed: at batch 8 onnx differs from its "
            "reference by 0.25 in a log-probability (allowed 0.001).",
            "FAIL：m 转换后的模型未通过一致性检查，被拒绝使用，不给出精度和速度："
            "批大小 8 时 onnx 与参照的对数概率相差 0.25（允许 0.001）。",
        ),
        (
            "a on cpu runs at 0.950 times the speed of b (geometric mean over 3 batch sizes): INCONCLUSIVE, since this mean is too noisy "
            "for an interval at a tolerance of 5 %.",
            "a 在 cpu 上的速度是 b 的 0.950 倍（3 个批大小的几何平均）：INCONCLUSIVE，该平均值噪声过大，给不出区间，容差 5%。",
        ),
        (
            "Recommended: openvino int8, 81.2 images per second at batch size 4, 4.71 times the best of torch fp32; its top-1 less the "
            "candidate's, on the same images, is -0.30 to 0.10 points (95 %); openvino bf16, 90 images per second at batch size 4, but "
            "its accuracy was not evaluated.",
            "推荐：openvino int8，批大小 4 时每秒 81.2 张图像，是 torch fp32 最佳值的 4.71 倍；在同一批图像上其 top-1 减候选的 top-1 为 "
            "-0.30 ~ 0.10 个百分点（95%）；openvino bf16 在批大小 4 时每秒 90 张图像，但未评测其精度。",
        ),
        (
            "Memory limits: batch size 64 did not fit, and 32 is the fastest of those that did; try int8 or more memory; this may change "
            "in a quieter run: UNSTABLE at batch size 8, 16.",
            "瓶颈是内存：批大小 64 放不下，能放下的以 32 最快；可尝试 int8 或更大内存；"
            "在更安静的运行中结论可能改变：批大小 8, 16 为 UNSTABLE。",
        ),
        (
            "other processes took 7.1 % of the cores; the sentinel slowed by 4.0 %; blocks became faster by 3.0 %",
            "其他进程占用了 7.1% 的核；哨兵任务变慢 4.0%；块逐渐变快 3.0%",
        ),
        (
            "The class order is shifted by one: 0.4 % of the answers are right as they are, 83.9 % when 1 is subtracted from each "
            "(modulo 1000): correct the labels or the model's last layer.",
            "类别顺序错位一位：按现状 0.4% 的回答正确，每个类别号减 1（模 1000）则为 83.9%：请更正标签或模型最后一层。",
        ),
        (
            "Option 2 (openvino int8) answers otherwise than the candidate on 9 of 1,000 images: 4 lost (only the candidate is right), "
            "4 gained (only option 2 is), 1 wrong in both.",
            "备选 2（openvino int8）对 1,000 张图像中的 9 张与候选回答不同："
            "变错 4 张（只有候选对），变对 4 张（只有备选 2 对），两者都错 1 张。",
        ),
    ],
)
def test_computed_sentences_are_said_in_chinese(sentence, said):
    assert BeautifulSoup(page(Sentence(sentence)), "html.parser").main.p.get_text() == said


def test_the_words_of_data_stay_where_they_stand():
    table = Table(["class", "name", "source"], [[3, "batch", "mine, on a machine, measured by hand"]])
    assert "<td>batch</td><td>mine, on a machine, measured by hand</td>" in page(table)


def test_the_chinese_readme_has_the_commands_of_the_english_one():
    commands = re.findall(r"^    (\S.*)$", README, re.MULTILINE)
    assert commands[:2] == re.findall(r"^    (make .*)$", ENGLISH_README, re.MULTILINE)[:2]
    assert [line for line in commands if line not in ENGLISH_README and not line.endswith(" -p language zh")] == []
    assert [target for target in re.findall(r"`make ([a-z]+)`", README) if f"`make {target}`" not in ENGLISH_README] == []


def test_what_the_chinese_readme_links_to_exists():
    assert [link for link in re.findall(r"\]\(([^)]+)\)", README) if not (ROOT / link).exists()] == []
    assert "](README.md)" in README
    assert "](README.zh-CN.md)" in ENGLISH_README


def test_the_chinese_readme_explains_every_word_of_a_verdict():
    assert [word for word in [*get_args(records.Verdict), "EQUIVALENT", "NOISY"] if word != "NONE" and word not in README] == []


def test_the_chinese_readme_s_own_command_is_accepted(capsys):
    [command] = re.findall(r"^    \.venv/bin/python -m helpers\.run (.* -p language zh)$", README, re.MULTILINE)
    assert run.main([*command.split(), "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
