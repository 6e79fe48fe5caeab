-- One row per row of recommendation_training: what the model is given, its label, and on which side of the split it is.
{{ feature_store.feature_view(
    training_set=ref('recommendation_training'),
    parameters=ref('recommendation_model_v1_parameters'),
) }}
