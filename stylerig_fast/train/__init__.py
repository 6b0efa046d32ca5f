"""Training: everything from a generator alone, in three stages (``python -m stylerig_fast.train STAGE``).

The stages, in their order:

- `sample_portraits`: stage ``sample`` makes the portraits and detects their landmarks.
- `reconstructor`: stage ``reconstructor`` trains F, from a code to the parameters of the face model.
- `rig`: stage ``rig`` trains RigNet, the package of the method; begin with `rig.train`.

What they share:

- `config`: all settings, one dataclass per stage, and one group per step of the rig's training.
- `former_options`: names that settings had before.
- `loop`, `step_runner`: the optimiser and its schedule, and its steps captured in a CUDA graph.
- `run_folder`: the folder of a run, with its config, metrics and state.
- `batch`, `render_objective`, `previews`: batches of portraits, the paper's render loss and priors, picture grids.
"""
