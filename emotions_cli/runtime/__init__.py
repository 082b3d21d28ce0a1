"""The machine and ONNX Runtime on it: how many CPUs there are, what they can do, and open sessions."""
