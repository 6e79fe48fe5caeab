{#- What a transform takes and gives, and its options; materializer/views/transforms.py has the same list, and a test
    compares the two. -#}
{% macro transforms() %}
    {{ return({
        'scale': {'takes': 'number', 'gives': 'double', 'options': []},
        'min_max': {'takes': 'number', 'gives': 'double', 'options': []},
        'log1p': {'takes': 'number', 'gives': 'double', 'options': []},
        'clip': {'takes': 'number', 'gives': 'double', 'options': ['min', 'max']},
        'bucketize': {'takes': 'number', 'gives': 'int64', 'options': ['boundaries']},
        'impute': {'takes': 'any', 'gives': 'same', 'options': ['with', 'value']},
        'ordinal_encode': {'takes': 'category', 'gives': 'int64', 'options': ['categories']},
        'one_hot_encode': {'takes': 'category', 'gives': none, 'options': ['categories']},
    }) }}
{% endmacro %}
