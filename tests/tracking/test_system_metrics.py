"""The machine is measured now and then, by the names that MLflow's page of system metrics knows."""

from alignloop.tracking.system_metrics import Machine


def test_readings_come_every_ten_seconds_and_measure_the_time_between() -> None:
    now = [100.0]
    machine = Machine(lambda: now[0])
    assert machine.readings() == {}
    now[0] += 10
    first = machine.readings()
    assert {
        "system/cpu_utilization_percentage",
        "system/system_memory_usage_megabytes",
        "system/disk_available_megabytes",
    } <= set(first)
    assert 0 < first["system/system_memory_usage_percentage"] < 100
    assert first["system/network_receive_megabytes"] >= 0
    assert machine.readings() == {}
    now[0] += 10
    assert set(machine.readings()) == set(first)
