"""What ``scatcuda train`` and ``scatcuda eval`` do: options, runs, reports."""
