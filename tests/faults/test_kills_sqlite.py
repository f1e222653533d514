from kills import check


def test_kill_9_at_every_moment_with_sqlite(new_place, surroundings, said):
    check(new_place(max_crashes=100), surroundings, said)
