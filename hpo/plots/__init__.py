"""Pictures of a study: the kinds there are. Drawing them takes matplotlib, which comes with the extra `plot`."""

KINDS = ("history", "curves", "importance", "slice", "parallel", "contour", "timeline", "cost")
