"""Stage ``rig``: trains RigNet on portraits and a frozen F. `train` shows the whole method; its steps, in order:

- `dataset_statistics`: 0. F's parameters of every training portrait, and the principal components of their codes.
- `picture_regression`: 1. What the pictures show (pose, mouth, eyes, light, colours), regressed on the code.
- `closed_form`: 2. For each parameter the offset of the code with the least side effects, in closed form.
- `person_correction`: 3. The error of each edit that F reconstructs, regressed on the person and subtracted.
- `slider_requests`, `losses`, `step`: 4. Cycle-consistency training against F, the paper's method.
- `image_correction`: 5. The error of each edit that pictures show, regressed on the person and subtracted.
- `gain_calibration`: 6. Each control scaled until pictures show the change that was asked for.
- `package`: the folder that `Engine.from_pretrained` reads.
"""
