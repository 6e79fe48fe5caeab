-- What the sample holds, as DuckDB statements that generate.py runs by the names above them. Sizes
-- and the day at hand come in as variables: getvariable('day').

-- name: macros
-- Every random number is a key scrambled by rounds of fold and multiply (as in a 32-bit hash): the
-- same in every version and on every machine, which hash() and random() do not promise. Values are
-- below 2^32 before each product, so nothing leaves 64 bits. One list_reduce, since a macro that
-- names its argument twice a round makes expressions that take longer to plan than to run.
create macro scramble(key) as list_reduce(
    [key & 4294967295::ubigint, 2146121005::ubigint, 2221713035::ubigint, 2654435761::ubigint],
    lambda state, factor: (xor(state, state >> 16) * factor) & 4294967295::ubigint
);
create macro draw(what, u, d, j) as scramble(
    (
        u::bigint * 654435761 + d::bigint * 246822519 + j::bigint * 266489917
        + what::bigint * 668265263 + getvariable('seed')
    )::ubigint
);
create macro below(number, n) as ((number * n::ubigint) >> 32)::bigint;
create macro pick(bits_16, choices) as choices[1 + ((bits_16::bigint * len(choices)) >> 16)];

-- name: choices
-- Each choice stands in its list as often as it weighs: types of events, hours of the day [UTC].
set variable event_types = (
    repeat(['view'], 60) || repeat(['click'], 45) || repeat(['search'], 26)
    || repeat(['add_to_cart'], 18) || repeat(['login'], 16) || repeat(['purchase'], 10)
    || repeat(['share'], 8) || repeat(['wishlist'], 6) || repeat(['review'], 4)
    || repeat(['refund'], 3) || repeat(['support_chat'], 2) || repeat(['subscribe'], 2)
);
set variable hours = flatten(
    list_transform(
        [3, 2, 1, 1, 1, 2, 4, 7, 9, 10, 10, 11, 13, 11, 10, 10, 11, 12, 14, 17, 19, 17, 12, 7],
        lambda weight, hour: repeat([hour - 1], weight)
    )
);

-- name: tables
create temp table labels (
    u bigint, user_id varchar, as_of_ts timestamp, day bigint, label_no bigint
);
create temp table hits (label_no bigint);

-- name: users
-- One row per user. Activity has a heavy tail: the busiest do some 200 times what the quietest do.
-- Some come late, some stop, some pause for more than a feature window. User 1 and the users with
-- odd ids are steady.
create temp table users as
with
numbers as (
    select
        range as u,
        range - (getvariable('users') - len(getvariable('odd_ids'))) as odd_no,
        30 + below(draw(1, range, 0, 0), 1000) as rank,
        u = 1 or odd_no > 0 as steady,
    from range(1, getvariable('users') + 1)
)

select
    u,
    if(odd_no > 0, getvariable('odd_ids')[odd_no], 'user' || u) as user_id,
    case
        when u = 1 then 250000
        when steady then 60000
        else 4000 + 1000000000 // (rank * rank)
    end as weight,
    if(
        steady or below(draw(2, u, 0, 0), 10) < 6,
        0, below(draw(3, u, 0, 0), getvariable('days') * 3 // 4)
    ) as first_day,
    if(
        steady or below(draw(4, u, 0, 0), 4) > 0,
        getvariable('days'), 1 + below(draw(5, u, 0, 0), getvariable('days'))
    ) as days_here,
    if(
        steady or below(draw(6, u, 0, 0), 5) > 0,
        getvariable('days'), below(draw(7, u, 0, 0), getvariable('days'))
    ) as pause_from,
    32 + below(draw(8, u, 0, 0), 24) as pause_days,
from numbers;

-- name: day_events
-- One row per event of the day, exactly 'events' of them: each user present holds a stretch of a
-- line as long as the user is busy that day, and gets the evenly spaced points that fall on it. The
-- sums are of whole numbers below 2^53, so they are exact in any order.
create or replace temp table day_events as
with
present as (
    select
        u,
        user_id,
        (
            1 + weight
            * (1 + below(draw(9, u, getvariable('day'), 0), 255))
            * (1 + below(draw(10, u, getvariable('day'), 0), 255)) // 256
        )::double as busy,
    from users
    where
        getvariable('day') between first_day and first_day + days_here - 1
        and getvariable('day') not between pause_from and pause_from + pause_days - 1
),

line as (
    select
        u,
        user_id,
        busy,
        sum(busy) over (order by u rows unbounded preceding) as stop,
        sum(busy) over () as length,
    from present
),

shares as (
    select
        u,
        user_id,
        floor(stop / length * getvariable('events') + getvariable('shift'))
        - floor((stop - busy) / length * getvariable('events') + getvariable('shift')) as events,
    from line
),

numbered as (
    select u, user_id, unnest(range(events::bigint)) as j
    from shares
    where events > 0
),

drawn as (
    -- Some events are given twice: they draw with the number of the one before.
    select
        u,
        user_id,
        j,
        if(j > 0 and (7 * u + 11 * getvariable('day') + j) % 997 = 0, j - 1, j) as n,
        draw(11, u, getvariable('day'), n) as kind,
        draw(12, u, getvariable('day'), n) as moment,
    from numbered
)

select
    u,
    j,
    user_id,
    pick(kind >> 16, getvariable('event_types')) as event_type,
    make_timestamp(
        getvariable('midnight') + case
            when moment & 4095 < 2 then 0
            when moment & 4095 < 4 then 86399999999
            else pick(kind & 65535, getvariable('hours')) * 3600000000 + below(moment, 3600000000)
        end
    ) as ts,
from drawn;

-- name: labels
-- A third of the day's labels stand at or up to three hours before an event of the same day. The
-- rest stand anywhere, some for users who are away, who have not come yet, or who never will.
insert into labels
with
in_order as (
    select u, user_id, ts, row_number() over (order by ts, u, j) as i
    from day_events
),

at_events as (
    select
        u,
        user_id,
        case below(draw(13, u, getvariable('day'), i), 10)
            when 0 then ts
            when 1 then date_trunc('day', ts)
            else greatest(
                date_trunc('day', ts),
                date_trunc('second', ts)
                - to_seconds(below(draw(14, u, getvariable('day'), i), 10800))
            )
        end as as_of_ts,
        0 as part,
        i,
    from in_order
    where
        i * getvariable('at_events') // getvariable('events')
        > (i - 1) * getvariable('at_events') // getvariable('events')
),

numbered as (
    -- Some labels are given twice: they draw with the number of the one before.
    select
        range as i,
        if(range > 0 and (5 * getvariable('day') + range) % 53 = 0, range - 1, range) as n,
    from range(getvariable('anywhere'))
),

anywhere as (
    select
        if(
            below(draw(15, 0, getvariable('day'), n), 50) = 0,
            getvariable('users') + 1 + below(draw(16, 0, getvariable('day'), n), 100),
            1 + below(draw(16, 0, getvariable('day'), n), getvariable('users'))
        ) as u,
        draw(18, 0, getvariable('day'), n) as moment,
        make_timestamp(
            getvariable('midnight') + case below(draw(17, 0, getvariable('day'), n), 12)
                when 0 then 0
                when 1 then below(moment, 1440) * 60000000
                else
                    below(moment, 86400) * 1000000
                    + below(draw(19, 0, getvariable('day'), n), 1000000)
            end
        ) as as_of_ts,
        1 as part,
        i,
    from numbered
),

wanted as (
    select u, user_id, as_of_ts, part, i
    from at_events
    union all
    select u, coalesce(user_id, 'user' || u) as user_id, as_of_ts, part, i
    from anywhere left join users using (u)
)

select
    u,
    user_id,
    as_of_ts,
    getvariable('day') as day,
    getvariable('day') * 4294967296 + row_number() over (order by part, i) as label_no,
from wanted;

-- name: hits
-- A label is 1 when its user has an event at its instant or in the seven days after.
insert into hits
select distinct label_no
from labels inner join day_events using (u)
where
    day between getvariable('day') - 7 and getvariable('day')
    and ts >= as_of_ts
    and ts < as_of_ts + interval 7 days;

-- name: event_rows
select user_id, event_type, ts
from day_events
order by ts, u, j;

-- name: label_rows
select user_id, if(label_no in (from hits), 1.0, 0.0)::double as label, as_of_ts
from labels
order by as_of_ts, u, label_no;
