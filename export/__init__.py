"""Export: graphs for ONNX Runtime, TensorRT and Triton, installed as ``stylerig_fast.export``."""
