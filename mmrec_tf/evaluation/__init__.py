"""How good the recommendations are: full-corpus ranking metrics, beside baselines, and the report that shows them.

`evaluation_set` says whom to ask and what they should get, `evaluator` ranks the whole catalogue for them,
`ranking_metrics` and `classification_metrics` count, `comparison` puts the models beside the baselines, `plots` and
`report` show it. Nothing is imported here, so that a part costs only what it needs itself.
"""
