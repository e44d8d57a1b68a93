"""How fast is training, and against Stable-Baselines3? `python -m benchmarks.speed`"""
