"""What can be measured on a picture of a face, for data, training and evaluation alike.

Landmarks (dlib), pose, expression, light and glasses. Training reads these: it labels its pictures with the landmarks,
and calibrates the rig on the others. What judges the rig without training ever having read it is in
`stylerig_fast.evaluation.heldout_estimators`.
"""
