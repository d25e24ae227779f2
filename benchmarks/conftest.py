"""pytest-benchmark's record of the machine, completed by what decides about our speed."""

import torch

import scatcuda


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["scatcuda_instruction_set"] = scatcuda.cpu_isa()
    machine_info["torch"] = torch.__version__
    if torch.cuda.is_available():
        machine_info["gpu"] = torch.cuda.get_device_name()
