from kills import check


def test_kill_9_at_every_moment_with_postgresql(new_place, surroundings, said, cluster):
    check(new_place(cluster.new_database(), max_crashes=100, heartbeat_s=0.3, dead_after_s=1.5), surroundings, said)
