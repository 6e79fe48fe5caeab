{#- A verdict counts for the build that was the model's newest when the test ran. Builds have sequence
    numbers; after the ledger was deleted these start over, and then the times decide. -#}
{% macro gate_objections() %}
with

tests as (
    select test, name, model, is_published
    from {{ feature_store.record('gate_tests') }}
),

newest_builds as (
    select model, "sequence", max(built_at) as built_at
    from (
        select model, "sequence", built_at, max("sequence") over (partition by model) as newest
        from {{ feature_store.record('build_ledger') }}
    ) as builds
    where "sequence" = newest
    group by model, "sequence"
),

newest_runs as (
    select test, max("sequence") as "sequence"
    from {{ feature_store.record('gate_verdicts') }}
    group by test
),

-- One row per (test, model): the newest verdict. Of a view, which has no builds, it is always current.
verdicts as (
    select
        verdicts.test,
        verdicts.name,
        verdicts.model,
        verdicts.status in ('pass', 'warn') as is_good,
        verdicts.model_sequence is not distinct from newest_builds."sequence"
        and (newest_builds.model is null or verdicts.recorded_at >= newest_builds.built_at) as is_current,
        case verdicts.status
            when 'fail' then 'failed'
            when 'error' then 'had an error'
            when 'skipped' then concat('was skipped', ', because ' || verdicts.because)
            else concat('ended as ', verdicts.status)
        end as outcome,
        case
            when verdicts.failures = 1 then ' (1 row)'
            when verdicts.failures > 1 then concat(' (', cast(verdicts.failures as varchar), ' rows)')
            else ''
        end as offending,
        verdicts.because
    from {{ feature_store.record('gate_verdicts') }} as verdicts
    inner join newest_runs
        on verdicts.test = newest_runs.test and verdicts."sequence" = newest_runs."sequence"
    left join newest_builds on verdicts.model = newest_builds.model
),

-- One row per test: a pass counts only while it is of the current build of every model that the test refs.
findings as (
    select
        tests.test,
        tests.name,
        max(case when not verdicts.is_good then concat(verdicts.outcome, verdicts.offending) end) as failure,
        max(verdicts.because) as because,
        count(case when verdicts.test is null and newest_builds.model is not null then 1 end) as missing,
        count(case when not coalesce(verdicts.is_current, verdicts.test is null) then 1 end) as outdated
    from tests
    left join verdicts on tests.test = verdicts.test and tests.model = verdicts.model
    left join newest_builds on tests.model = newest_builds.model
    where tests.test is not null
    group by tests.test, tests.name
),

objecting as (
    select
        test,
        name,
        concat(name, case
            when because is not null
                then concat(' ', failure, '; mend that and run: ', {{ feature_store.dbt_command('build') }})
            when failure is not null
                then concat(' ', failure, '; see: ', {{ feature_store.dbt_command('test', select='name') }})
            when missing > 0 then concat(' has no verdict; run: ', {{ feature_store.dbt_command('test') }})
            else concat(' last ran on an older build; run: ', {{ feature_store.dbt_command('test') }})
        end) as reason
    from findings
    where failure is not null or missing > 0 or outdated > 0
),

newest_passes as (
    select model, model_sequence, passed_at
    from (
        select *, row_number() over (partition by model order by passed_at desc, model_sequence desc) as recency
        from {{ feature_store.record('gate_passes') }}
    ) as passes
    where recency = 1
),

-- What no test builds again any more must have passed while its SQL and its events were there. Of a day that was
-- only stamped again, that is its build.
unjudged as (
    select days.model, days.day, days.is_frozen
    from {{ feature_store.record('day_status') }} as days
    inner join {{ feature_store.record('build_ledger') }} as builds
        on
            days.model = builds.model
            and days.day = builds.day
            and days.fingerprint = builds.fingerprint
            and days.model_checksum = builds.model_checksum
    left join newest_passes
        on
            days.model = newest_passes.model
            and builds."sequence" <= newest_passes.model_sequence
            and builds.built_at <= newest_passes.passed_at
    where days.is_frozen or days.is_older_sql
    group by days.model, days.day, days.is_frozen
    having count(newest_passes.model) = 0
),

published as (
    select distinct
        tests.model,
        newest_builds.model is not null as is_built
    from tests
    left join newest_builds on tests.model = newest_builds.model
    where tests.is_published
),

-- What records a new build even if nothing changed: of a group built by day its newest day, else all of it.
rebuilds as (
    select
        model,
        case
            when max(window_days) is null
                then {{ feature_store.dbt_command('build', '--full-refresh', select='max(name)') }}
            else {{ feature_store.dbt_command('build', select='max(name)', first='max(day)', last='max(day)') }}
        end as command
    from (
        select model, window_days, day, regexp_replace(model, '^[^.]*[.][^.]*[.]', '') as name
        from {{ feature_store.record('build_ledger') }}
    ) as builds
    group by model
)

select
    model,
    cast(null as varchar) as test,
    concat(
        'it was never built, or the ledger was deleted; run: ', {{ feature_store.dbt_command('build', '--full-refresh') }}
    ) as reason
from published
where not is_built

union all

select published.model, cast(null as varchar) as test, 'no gate test guards it; add one with the tag gate' as reason
from published
inner join tests on published.model = tests.model
where published.is_built and tests.test is null

union all

select published.model, objecting.name as test, objecting.reason
from published
inner join tests on published.model = tests.model
inner join objecting on tests.test = objecting.test
where published.is_built

union all

select distinct
    unjudged.model,
    cast(null as varchar) as test,
    concat(
        'the days ', cast(unjudged.first_day as varchar), ' to ', cast(unjudged.last_day as varchar),
        case
            when unjudged.is_frozen
                then ' never passed the gate, and their events are no longer kept; restore the events, or build what is left: '
            else ' were built by older SQL and never passed the gate; run: '
        end,
        {{ feature_store.dbt_command('build', first='unjudged.first_day', last='unjudged.last_day') }}
    ) as reason
from ({{ feature_store.day_ranges('unjudged', ['model', 'is_frozen']) }}) as unjudged
inner join published on unjudged.model = published.model
where published.is_built

union all

-- A test that was red on this build does not become green by being removed. By name, for the id of a generic test
-- changes with its arguments.
select
    published.model,
    verdicts.name as test,
    concat(
        verdicts.name, ' ', verdicts.outcome, ' on this build', verdicts.offending,
        ' and was then removed; restore the test, or if it was wrong, run: ', rebuilds.command
    ) as reason
from published
inner join rebuilds on published.model = rebuilds.model
inner join verdicts on published.model = verdicts.model
left join tests on verdicts.model = tests.model and verdicts.name = tests.name
where published.is_built and not verdicts.is_good and verdicts.is_current and tests.model is null
{% endmacro %}
