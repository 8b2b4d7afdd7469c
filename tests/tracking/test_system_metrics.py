"""System metrics are read at an interval, by the names of MLflow's page of system metrics."""

from alignloop.tracking.system_metrics import SystemMonitor


def test_readings_come_every_ten_seconds_and_cover_the_time_between() -> None:
    now = [100.0]
    monitor = SystemMonitor(lambda: now[0])
    assert monitor.readings() == {}
    now[0] += 10
    first = monitor.readings()
    assert {
        "system/cpu_utilization_percentage",
        "system/system_memory_usage_megabytes",
        "system/disk_available_megabytes",
    } <= set(first)
    assert 0 < first["system/system_memory_usage_percentage"] < 100
    assert first["system/network_receive_megabytes"] >= 0
    assert monitor.readings() == {}
    now[0] += 10
    assert set(monitor.readings()) == set(first)
