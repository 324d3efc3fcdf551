import pytest

from reseen.cli.mistakes import nearest
from tests.cli.test_cli import reseen as reseen

SEE = "`reseen train supervised --help` lists all options."


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("train supervised a -o x --iterations 5", f"Unknown option: --iterations. {SEE}"),
        ("train supervised a -o x --epocs 5", "Unknown option: --epocs. Did you mean --epochs?"),
        (
            "train supervised a -o x --backbone r",
            "Unknown option: --backbone. Did you mean --encoder.backbone?",
        ),
        ("train supervised a --outt x", "Unknown option: --outt. Did you mean --out?"),
        ("train supervised a --out", "--out needs a value."),
        ("train supervised a -o x -c", "-c needs a value."),
        ("train supervised a b -o x", f"Unexpected argument: b. {SEE}"),
        ("evaluate", "RUN is missing: Folder of a run, one of its checkpoints, a file"),
        ("trian", 'Unknown command "trian". Did you mean "train"? Available commands: '),
        ("train supervised a -o x --epochs many", "Invalid value for --epochs: "),
        ("train supervised a -o x --augment.erase-area 1", "--augment.erase-area needs more"),
        ("choose-eps nowhere.npz", "nowhere.npz is not a file. Give a .npz file that"),
    ],
)
def test_mistakes_are_one_line_in_one_style(reseen, words, says):
    code, out, err = reseen(*words.split())
    assert (code, out) == (1, "") and err.startswith(f"reseen: {says}")
    assert err.count("\n") == 1 and "Error" not in err and "╭" not in err


def test_a_missing_option_says_what_it_is_for(reseen):
    code, _, err = reseen("train", "supervised", "a")
    assert code == 1 and err.startswith("reseen: --out is missing: Folder of the run")


def test_a_setting_of_a_file_is_named_with_the_file(reseen, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text("[encoder]\nlast_strid = 3\n")
    code, _, err = reseen("train", "supervised", "a", "-o", "x", f"-c{path}")
    assert code == 1 and err == (
        f"reseen: Unknown option: encoder.last_strid in {path}. Did you mean encoder.last_stride?\n"
    )


def test_words_for_every_run_are_told_in_the_same_way(reseen, town_folder):
    words = ["bench", "sweep", "adtc", "margin", "0.1", town_folder, "-o", "x", "--settings"]
    code, _, err = reseen(*words, "--epocs 3")
    assert code == 1 and err == "reseen: Unknown option: --epocs. Did you mean --epochs?\n"


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("--epss", "--eps"),
        ("--weights", "--encoder.weights"),
        ("--encoder.wieghts", "--encoder.weights"),
        ("--last_stride", "--encoder.last-stride"),
        ("--iterations", None),
    ],
)
def test_only_near_names_are_suggested(word, near):
    names = ("--eps", "--encoder.options", "--encoder.weights", "--encoder.last-stride")
    assert nearest(word, names) == near


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"words", b"\x93NUMPY\x01\x00"])
def test_a_file_without_features_is_named_in_a_line(reseen, tmp_path, content):
    path = tmp_path / "f.npz"
    path.write_bytes(content)
    code, _, err = reseen("choose-eps", path)
    assert code == 1 and err == (
        f"reseen: {path} is damaged or holds no features. Give a .npz file that "
        "`reseen extract` wrote.\n"
    )
