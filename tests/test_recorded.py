import io
import json

import numpy as np
import pytest

from helpers.ascend import recorded
from helpers.ascend.recorded.times import Timing
from helpers.errors import UserError

STEMS = ["img_1", "img_2", "img_10"]  # in natural order
ONLY_MEAN = "Only the mean was recorded, hence the throughput has no interval."
HEAD = "[INFO] acl init success\n[INFO] load model ./conformer_base_bs8.om success\n"
END = """\
[INFO] -----------------Performance Summary------------------
[INFO] H2D_latency (ms): min = 0.5, max = 0.5, mean = 0.5, median = 0.5, percentile(99%) = 0.5
[INFO] NPU_compute_time (ms): min = 30.0, max = 33.0, mean = 32.0, median = 31.0, percentile(99%) = 33.0
[INFO] D2H_latency (ms): min = 0.25, max = 0.25, mean = 0.25, median = 0.25, percentile(99%) = 0.25
[INFO] {}
[INFO] ------------------------------------------------------
"""
V1 = "throughput (1000*batchsize/NPU_compute_time): 250.0"
V2 = "throughput 1000*batchsize(8)/NPU_compute_time.mean(32.0): 250.0"
V3 = "throughput 1000*batchsize.mean(8)/NPU_compute_time.mean(32.0): 250.0"


def write(path, content):
    """Write text, bytes, JSON or an array as little-endian float32 values, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content)
    if isinstance(content, list | np.ndarray):
        content = np.asarray(content, "<f4").tobytes()
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def summary(mean=32.0, times=None, **values):
    """Return a summary of the later releases, of the first without `times`."""
    told = {"NPU_compute_time": {"mean": mean}, "args": ["-m", "model_bs8.om"], **values}
    return told if times is None else {**told, "npu_compute_time_list": times, "pid": 1}


def read(folder, classes=6, stems=STEMS):
    return recorded.read(folder, classes, stems)


def timing(folder):
    [found] = read(folder).timings
    return found


def answers(folder):
    [found] = read(folder).answers
    return found


def of(value, classes=6):
    """Return probabilities that show which image they are of."""
    return [value, *[0.1] * (classes - 1)]


def first(found):
    """Return stem -> first probability, which `of` set."""
    return {stem: round(float(row[0]), 3) for stem, row in found.probabilities.items()}


def test_a_summary_of_2022_stands_in_its_folder_and_has_means_alone(tmp_path):
    write(tmp_path / "out" / "2022_07_01" / "sumary.json", summary(H2D_latency={"mean": 0.5}, D2H_latency={"mean": 0.0}))
    found = timing(tmp_path)
    assert found == Timing(8, (), 32.0, 0.5, None, True, "out/2022_07_01/sumary.json", (ONLY_MEAN,))


def test_a_later_summary_stands_beside_its_folder_and_has_every_execute(tmp_path):
    write(tmp_path / "run_summary.json", summary(32.0, [30.0, 34.0], throughput=250.0))
    found = timing(tmp_path)
    assert (found.execute_ms, found.mean_ms, found.remarks) == ((30.0, 34.0), 32.0, ())


def test_a_pair_is_start_and_end(tmp_path):
    write(tmp_path / "run_summary.json", summary(3.0, [[0.0, 2.0], [10.0, 14.0]]))
    assert timing(tmp_path).execute_ms == (2.0, 4.0)


@pytest.mark.parametrize("threads", [["--threads", "2"], []])
def test_executes_at_the_same_time_have_a_mean_alone(tmp_path, threads):
    write(tmp_path / "run_summary.json", summary(2.0, [[0.0, 4.0], [0.0, 4.0]], args=["-m", "a_bs8.om", *threads]))
    found = timing(tmp_path)
    assert (found.execute_ms, found.mean_ms) == ((), 2.0)
    assert "several threads" in found.remarks[0]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--batchsize", "4"], 4),
        (["--batchsize=4"], 4),
        (["--model=./conformer_base_bs16.om"], 16),
        (["--model", "/home/bs2/conformer_base_bs16_linux_x86_64.om"], 16),
        (["--model", "dynamic.om", "--dymBatch", "32"], 32),
        (["--model", "a_bs16.om", "--dymBatch", "0"], 16),
    ],
)
def test_the_batch_size_is_told_by_the_command(tmp_path, args, expected):
    write(tmp_path / "bs64_summary.json", summary(args=args))
    assert timing(tmp_path).batch == expected


@pytest.mark.parametrize("name", ["bs4_summary.json", "out_bs4/sumary.json", "bs4/2022_07_01/sumary.json", "bs64/bs4_summary.json"])
def test_else_by_the_nearest_name(tmp_path, name):
    write(tmp_path / name, summary(args=["-m", "model.om"]))
    assert timing(tmp_path).batch == 4


def test_else_by_the_folder_given(tmp_path):
    write(tmp_path / "bs4" / "sumary.json", summary(args=[]))
    assert timing(tmp_path / "bs4").batch == 4


def test_else_by_the_log(tmp_path):
    write(tmp_path / "run_summary.json", summary(args=[]))
    write(tmp_path / "screen.txt", END.format(V3))
    assert timing(tmp_path).batch == 8


def test_else_the_user_is_told_how_to_name_it(tmp_path):
    write(tmp_path / "jobs12_summary.json", summary(args=[]))
    with pytest.raises(UserError, match="jobs12_summary.json does not tell its batch size: put it into the name of the file or its folder"):
        read(tmp_path)


def test_a_command_that_tells_two_batch_sizes_is_a_remark(tmp_path):
    write(tmp_path / "run_summary.json", summary(args=["--model=a_bs8.om", "--batchsize=1"]))
    assert timing(tmp_path).batch == 1
    assert timing(tmp_path).remarks[1] == "The command tells batch size 1 and also 8: 1 is used."


def test_a_throughput_of_another_batch_size_is_a_remark_and_not_used(tmp_path):
    write(tmp_path / "sumary.json", summary(throughput=31.25))
    assert timing(tmp_path).remarks[1] == (
        "The recorded throughput, 31.25, is not that of batch size 8 in 32.000 ms, 250.00, which is used: "
        "early releases take batch size 1 when --batchsize is left out."
    )


@pytest.mark.parametrize(("args", "zero"), [(["-i", "bin"], False), (["--input=bin"], False), (["--output", "out"], True)])
def test_zeros_are_measured_when_no_input_is_given(tmp_path, args, zero):
    write(tmp_path / "run_summary.json", summary(args=["-m", "a_bs8.om", *args]))
    assert timing(tmp_path).zero_input is zero


def listed(*names):
    """Return filesinfo as the tools write it, with paths of their machine."""
    return {str(n): {"infiles": [f"/data/bin/{a}"], "outfiles": [f"/data/out/x/{b}"]} for n, (a, b) in enumerate(names)}


def test_copies_that_fill_the_last_batch_are_a_remark(tmp_path):
    ten = listed(*[(f"{n}.bin", f"{n}_0.bin") for n in range(10)])
    write(tmp_path / "run_summary.json", summary(32.0, [32.0, 32.0], filesinfo=ten))
    assert timing(tmp_path).remarks == ("The last batch of 10 inputs was filled up with 6 copies, counted as images in the throughput.",)


@pytest.mark.parametrize("file", ["pure_infer_data", "batch_of_8.bin"])
def test_inputs_that_are_no_single_images_are_not_filled_up(tmp_path, file):
    write(
        tmp_path / "run_summary.json",
        summary(32.0, [32.0, 32.0], filesinfo=listed((file, "pure_infer_data_0.bin")), args=["-m", "a_bs8.om"]),
    )
    assert timing(tmp_path).remarks == ()


@pytest.mark.parametrize("line", [V1, V2, V3, V3.replace("t", "T", 1)])
def test_each_wording_of_a_log_is_read(tmp_path, line):
    write(tmp_path / "conformer_bs8.log", END.format(line))
    assert timing(tmp_path) == Timing(8, (), 32.0, 0.5, 0.25, True, "conformer_bs8.log", (ONLY_MEAN,))


def test_a_log_of_threads_has_a_mean_alone(tmp_path):
    write(tmp_path / "a_bs8.log", f"[INFO] NPU_compute_time (ms): mean = 32.0\n[INFO] {V1}\n")
    assert timing(tmp_path).mean_ms == 32


def test_a_throughput_line_without_its_time_is_told(tmp_path):
    write(tmp_path / "a_bs8.log", V1)
    with pytest.raises(UserError, match="a_bs8.log tells no NPU_compute_time"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.log", HEAD + END.format(V1), 8),
        ("a.log", "[INFO] try get model batchsize:8\n" + END.format(V1), 8),
        ("a.log", END.format(V2), 8),
        ("bs4.log", END.format(V2), 4),
    ],
)
def test_a_log_tells_its_batch_size_by_model_name_or_line(tmp_path, name, text, expected):
    write(tmp_path / name, text)
    assert timing(tmp_path).batch == expected


def test_a_log_with_input_tells_so(tmp_path):
    line = "[INFO] get filesperbatch files0 size:602112 tensor0size:4816896 filesperbatch:8 runcount:6250\n"
    write(tmp_path / "a.log", HEAD + line + END.format(V3))
    assert timing(tmp_path).zero_input is False


def test_runs_one_after_another_in_a_log_are_one_timing_each(tmp_path):
    line = "[INFO] get filesperbatch files0 size:4 tensor0size:4 filesperbatch:1 runcount:1\n"
    second = HEAD.replace("bs8", "bs16") + END.format(V1).replace("32.0", "64.0")
    write(tmp_path / "bs1.log", HEAD + line + END.format(V1) + second)
    assert [(one.batch, one.mean_ms, one.zero_input) for one in read(tmp_path).timings] == [(8, 32, False), (16, 64, True)]


def test_devices_that_run_at_once_are_one_timing_each(tmp_path):
    line = "[INFO] get filesperbatch files0 size:4 tensor0size:4 filesperbatch:1 runcount:1\n"
    tail = "[INFO] multidevice run end qsize:4 result:1\ni:0 device_1 throughput:250.0 start_time:1.0\n[INFO] summary throughput:500.0\n"
    write(tmp_path / "a.log", HEAD + HEAD + line + line + END.format(V3) + END.format(V3.replace("32.0", "33.0")) + tail)
    assert [(one.batch, one.mean_ms, one.zero_input) for one in read(tmp_path).timings] == [(8, 32, False), (8, 33, False)]


def test_a_log_and_a_summary_of_one_run_are_one_timing(tmp_path):
    write(tmp_path / "out" / "2023_01_01_summary.json", summary(32.0, [31.0, 33.0], throughput=250.0))
    write(tmp_path / "screen.log", END.format(V3))
    assert timing(tmp_path).source == "out/2023_01_01_summary.json"


def test_repeats_with_logs_of_one_name_are_kept_apart(tmp_path):
    write(tmp_path / "1" / "bs8.log", END.format(V3))
    write(tmp_path / "2" / "bs8.log", END.format(V3.replace("32.0", "33.0")))
    assert [one.source for one in read(tmp_path).timings] == ["1/bs8.log", "2/bs8.log"]


def test_timings_are_ordered_by_batch_size(tmp_path):
    for batch in (16, 4, 1):
        write(tmp_path / f"bs{batch}_summary.json", summary(mean=batch, args=[]))
    assert [one.batch for one in read(tmp_path).timings] == [1, 4, 16]


def test_summaries_and_texts_of_others_are_left_alone(tmp_path):
    write(tmp_path / "coverage_summary.json", {"total": 3})
    write(tmp_path / "notes_0.txt", "measured on Friday")
    assert read(tmp_path) == recorded.Recording((), (), False)


@pytest.mark.parametrize("content", ["{", '{"NPU_compute_time": {"mean": NaN}}', '{"NPU_compute_time": {}}'])
def test_a_damaged_summary_is_told(tmp_path, content):
    write(tmp_path / "bs8_summary.json", content)
    with pytest.raises(UserError, match="bs8_summary.json can't be read as a summary of ais_bench"):
        read(tmp_path)


def test_no_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="gone can't be read \\(No such file or directory\\): give the folder that ais_bench wrote"):
        read(tmp_path / "gone")


@pytest.mark.parametrize("form", ["{}_0.bin", "{}_output_0.bin"])
def test_results_are_named_by_their_input(tmp_path, form):
    for number, stem in enumerate(STEMS):
        write(tmp_path / "bs4" / form.format(stem), of(number / 8))
    found = answers(tmp_path)
    assert (found.batch, found.format, found.source, found.remarks) == (4, "BIN", "bs4", ())
    assert first(found) == {"img_1": 0, "img_2": 0.125, "img_10": 0.25}
    assert found.probabilities["img_1"].dtype == np.float32


@pytest.mark.parametrize(("form", "order"), [("input{}_output_0.bin", STEMS), ("sample_id_{}_output_0.bin", sorted(STEMS))])
def test_numbers_count_in_the_order_of_their_release_and_a_remark_says_so(tmp_path, form, order):
    for number in range(3):
        write(tmp_path / form.format(number), of(number / 8))
    found = answers(tmp_path)
    assert list(first(found).items()) == list(zip(order, [0, 0.125, 0.25], strict=True))
    assert found.remarks == (
        "Results have numbers instead of names, and releases differ in whether image_10 comes before image_2: keep sumary.json.",
    )


def test_numbers_need_no_remark_where_both_orders_are_one(tmp_path):
    write(tmp_path / "input0_output_0.bin", of(0.5))
    [found] = read(tmp_path, stems=["image_00000001"]).answers
    assert found.remarks == ()


def test_a_stem_may_look_like_a_number_of_early_releases(tmp_path):
    write(tmp_path / "input1_output_0.bin", of(0.5))
    [found] = read(tmp_path, stems=["input0", "input1"]).answers
    assert list(found.probabilities) == ["input1"]


def test_a_stem_may_end_as_names_of_results_do(tmp_path):
    write(tmp_path / "cat_output_0.bin", of(0.5))
    [found] = read(tmp_path, stems=["cat", "cat_output"]).answers
    assert list(found.probabilities) == ["cat_output"]


def test_the_summary_overrules_the_names(tmp_path):
    names = [
        ("img_1.bin", "sample_id_0_output_0.bin"),
        ("img_10.bin", "sample_id_1_output_0.bin"),
        ("img_2.bin", "sample_id_2_output_0.bin"),
    ]
    for number, (_, name) in enumerate(names):
        write(tmp_path / "x" / name, of(number / 8))
    write(tmp_path / "x" / "sumary.json", summary(filesinfo=listed(*names), args=["--om", "a_bs1.om", "--input", "/data/bin"]))
    assert first(answers(tmp_path)) == {"img_1": 0, "img_10": 0.125, "img_2": 0.25}
    assert answers(tmp_path).batch == 1
    assert answers(tmp_path).remarks == ()


def test_a_later_summary_beside_the_folder_is_that_of_the_results(tmp_path):
    for stem in STEMS:
        write(tmp_path / "x" / f"{stem}_0.bin", of(0.5))
    write(tmp_path / "x_summary.json", summary(32.0, [32.0], filesinfo=listed(*[(f"{stem}.bin", f"{stem}_0.bin") for stem in STEMS])))
    assert (answers(tmp_path).source, answers(tmp_path).batch, len(answers(tmp_path).probabilities)) == ("x", 8, 3)


def test_what_is_no_first_output_of_an_image_is_left_out(tmp_path):
    write(tmp_path / "img_1_0.bin", of(0.5))
    for stray in ("img_1_1.bin", "img_1.bin", "img_10.bin", "img_1_00.bin", "pure_infer_data_0.bin", "fps.csv", "notes.txt", "kit.json"):
        write(tmp_path / stray, "x")
    assert list(answers(tmp_path).probabilities) == ["img_1"]


def test_the_result_of_zeros_is_of_no_image(tmp_path):
    write(tmp_path / "x" / "sample_id_0_output_0.bin", of(0.5))
    write(tmp_path / "x" / "sumary.json", summary(filesinfo=listed(("pure_infer_data", "sample_id_0_output_0.bin"))))
    assert read(tmp_path).answers == ()
    assert timing(tmp_path).zero_input is True


def test_links_are_not_followed(tmp_path):
    write(tmp_path / "a" / "img_1_0.bin", of(0.5))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "img_1_0.bin").symlink_to(tmp_path / "a" / "img_1_0.bin")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert answers(tmp_path).source == "a"


@pytest.mark.parametrize("array", [np.full((1, 6), 0.5, np.float32), np.full(6, 0.5, np.float16), np.full((1, 6), 0.5)])
def test_npy_results_may_have_another_shape_or_precision(tmp_path, array):
    np.save(tmp_path / "img_1_0.npy", array)
    found = answers(tmp_path)
    assert found.format == "NPY"
    np.testing.assert_array_equal(found.probabilities["img_1"], np.full(6, 0.5, np.float32), strict=True)


@pytest.mark.parametrize("text", ["0.500000 0.100000 0.100000 0.100000 0.100000 0.100000 \n", "0.5 0.1 0.1 0.1 1e-01 0.1"])
def test_txt_results_are_one_row(tmp_path, text):
    write(tmp_path / "img_1_0.txt", text)
    assert answers(tmp_path).format == "TXT"
    np.testing.assert_allclose(answers(tmp_path).probabilities["img_1"], of(0.5), rtol=1e-6)


def test_zeros_of_txt_are_a_remark(tmp_path):
    for stem, text in zip(STEMS, ["1.000000 0.000000 0.0 0.0 0.0 0.0", "0.9 0.1 0.0 0.0 0.0 0.0", "0.5 0.1 0.1 0.1 0.1 0.1"], strict=True):
        write(tmp_path / f"{stem}_0.txt", text)
    assert answers(tmp_path).remarks == (
        "TXT keeps six decimals, so that probabilities below 5e-7 are zero: the end of the top 5 is arbitrary for 2 of 3 images.",
    )


def test_two_formats_in_a_folder_are_two_sets_of_answers(tmp_path):
    write(tmp_path / "img_1_0.bin", of(0.5))
    write(tmp_path / "img_1_0.txt", "0.5 0.1 0.1 0.1 0.1 0.1")
    assert [one.format for one in read(tmp_path).answers] == ["BIN", "TXT"]


def npy(array):
    """Return the bytes of an .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "img_1_0.bin",
            of(0.5, 7),
            "img_1_0.bin holds 7 values of float32 where 6 of float32 were expected: record with this run's model",
        ),
        ("img_1_0.bin", "", "holds 0 values"),
        ("img_1_0.bin", "12345", "img_1_0.bin is damaged"),
        ("img_1_0.bin", [of(0.5), of(0.5)], "holds 12 values"),
        ("img_1_0.npy", npy(np.zeros((1, 7), np.float32)), "holds 7 values"),
        ("img_1_0.npy", npy(np.zeros((1, 6), np.int64)), "holds 6 values of int64 where"),
        ("img_1_0.npy", "", "img_1_0.npy is damaged"),
        ("img_1_0.npy", b"\x93NUMPY\x01\x00", "img_1_0.npy is damaged"),
        ("img_1_0.txt", "0.5 0.5", "holds 2 values"),
        ("img_1_0.txt", "", "holds 0 values"),
        ("img_1_0.txt", "0.5 0.5 x", "img_1_0.txt is damaged"),
        ("img_1_0.bin", of(np.nan), "img_1_0.bin holds values that are not finite: convert the model with a higher precision"),
    ],
)
def test_a_result_that_can_not_be_one_is_told(tmp_path, name, content, said):
    write(tmp_path / "x" / name, content)
    with pytest.raises(UserError, match=f"x/{said}" if said.startswith("img") else said):
        read(tmp_path)


def test_fewer_images_without_result_than_a_batch_are_perhaps_its_end(tmp_path):
    for stem in STEMS[:2]:
        write(tmp_path / "bs2" / f"{stem}_0.bin", of(0.5))
    assert answers(tmp_path).remarks == (
        "No result for 1 of 3 images (first: img_10), perhaps an incomplete last batch, which early releases drop: "
        "accuracy is over the others.",
    )


@pytest.mark.parametrize(("there", "missing"), [("img_1", "img_2"), ("img_2", "img_1")])
def test_other_images_without_result_are_named(tmp_path, there, missing):
    write(tmp_path / "bs2" / f"{there}_0.bin", of(0.5))
    assert answers(tmp_path).remarks == (f"No result for 2 of 3 images (first: {missing}): accuracy is over the others.",)


def test_images_that_this_run_does_not_have_are_left_out(tmp_path):
    for stem in [*STEMS, "img_3", "img_4"]:
        write(tmp_path / f"{stem}_0.bin", of(0.5))
    assert list(answers(tmp_path).probabilities) == ["img_10", "img_1", "img_2"]
    assert answers(tmp_path).remarks == ("Results of 2 images that this run does not have (first: img_3) are left out.",)


def test_results_of_other_images_alone_are_refused(tmp_path):
    write(tmp_path / "x" / "dog_0.bin", of(0.5))
    with pytest.raises(
        UserError, match="holds results of other images \\(dog for one, where this run has img_1\\): take the images that were"
    ):
        read(tmp_path)


def devices(tmp_path, *values):
    for device, value in enumerate(values):
        for stem in STEMS:
            write(tmp_path / "x" / f"device{device}_{device}" / f"{stem}_0.bin", of(value if stem == "img_2" else 0.5))


def test_devices_that_answer_alike_are_one_set_of_answers(tmp_path):
    devices(tmp_path, 0.25, 0.25)
    assert (answers(tmp_path).source, answers(tmp_path).remarks, len(answers(tmp_path).probabilities)) == ("x", (), 3)


def test_devices_that_differ_are_a_remark_and_the_first_counts(tmp_path):
    devices(tmp_path, 0.25, 0.75)
    assert first(answers(tmp_path)) == {"img_10": 0.5, "img_1": 0.5, "img_2": 0.25}
    assert answers(tmp_path).remarks == ("The devices differ in their answer to 1 image (first: img_2): the first answer is kept.",)


def test_divided_inputs_are_put_together(tmp_path):
    for device, stem in enumerate(STEMS):
        write(tmp_path / "bs1" / f"device{device}_{device}" / f"{stem}_0.bin", of(device / 8))
        write(tmp_path / "bs1" / f"device{device}_{device}_summary.json", summary(device + 1.0, args=["-m", "a.om", "-d", "0,1,2"]))
    assert first(answers(tmp_path)) == {"img_1": 0, "img_2": 0.125, "img_10": 0.25}
    assert [one.batch for one in read(tmp_path).timings] == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "content", "simulated"),
    [
        ("bs8_summary.json", summary(simulated=True), True),
        ("bs8_summary.json", summary(simulated=False), False),
        ("environment.txt", "npu-smi 23.0.0+simulated", True),
        ("atc_bs8.log", "Simulated conversion", True),
        ("screen.txt", HEAD + END.format(V3) + "simulated", True),
        ("notes.txt", "not simulated", False),
    ],
)
def test_a_simulated_device_is_told(tmp_path, name, content, simulated):
    write(tmp_path / name, content)
    assert read(tmp_path).simulated is simulated


def test_the_summary_beside_the_folder_that_was_given_is_read(tmp_path):
    """The guide's postprocessing takes the inner folder; a simulator must be known from there too."""
    write(tmp_path / "2024_01_01-00_00_00_summary.json", summary(simulated=True))
    write(tmp_path / "2024_01_01-00_00_00" / f"{STEMS[0]}_0.bin", of(0.9))
    found = read(tmp_path / "2024_01_01-00_00_00")
    assert (found.simulated, found.timings[0].batch, found.answers[0].batch) == (True, 8, 8)
