from rich.table import Table

from reseen.cli.output import show


def test_no_number_is_cut_off_in_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "12")
    table = Table(title="a title that is longer than the terminal is wide", box=None)
    for name in ("method", "last", "best on test"):
        table.add_column(name, no_wrap=True)
    table.add_row("cluster-contrast", "20.4 / 36.5", "20.5 / 36.4")
    show(table)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-2:] == [
        ["method", "last", "best", "on", "test"],
        ["cluster-contrast", "20.4", "/", "36.5", "20.5", "/", "36.4"],
    ]
