import time as clock

import pytest

from reseen.errors import SettingsError
from reseen.gallery.moments import moment, span


def test_times_are_read_as_people_write_them():
    assert span("30d", "x") == 30 * 86400 and span("1.5h", "x") == 5400 and span("90", "x") == 90
    assert moment("2026-11-28T10:00+01:00", "x") == 1795856400
    assert moment("1970-01-02", "x") == clock.mktime((1970, 1, 2, 0, 0, 0, 0, 0, -1))
    assert moment("2h", "x") == pytest.approx(clock.time() - 7200, abs=60)
    assert moment(None, "x") is None and moment("now", "x") == pytest.approx(clock.time(), abs=60)
    today = clock.localtime()
    for word, days in (("today", 0), ("Yesterday ", 1)):
        midnight = clock.mktime((*today[:2], today[2] - days, 0, 0, 0, 0, 0, -1))
        assert moment(word, "x") == midnight
    with pytest.raises(SettingsError, match=r"x is 'noon'\. Write a time such as"):
        moment("noon", "x")
    for wrong in ("30 years", "d", "", "-1h"):
        with pytest.raises(SettingsError, match="x is"):
            span(wrong, "x")
