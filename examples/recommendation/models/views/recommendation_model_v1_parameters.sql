-- One row per (feature, step): what each transform of the view was fitted to.
{{ feature_store.fit_feature_view('recommendation_model_v1', training_set=ref('recommendation_training')) }}
