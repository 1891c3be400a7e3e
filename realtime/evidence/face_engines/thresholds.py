"""What both engines keep of what the models find."""

MIN_SCORE = 0.5
"Detections below this are dropped."
MIN_SCORE_FOR_MESH = 0.3
"The same for the detection that places a mesh: where it looks, a face was found already."
MAX_MESHES = 2
"Two, because a neighbour may be in the same crop. The one nearer to the box is taken."
