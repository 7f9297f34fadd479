%% A supervisor that restarts a crashed gen_server, timed inside the virtual machine.
%%
%% The worker keeps its records in a table that outlives it, as one does where a restart must not lose them. It crashes
%% by an error in a cast, after it has been at work for a while, with the instant before written into an atomics array.
%% Its caller waits in one of two ways:
%%
%%   told     the restarted worker's init sends it a message; then it calls
%%   whereis  it looks the registered name up until another process has it, then it calls
%%
%% Prints a line for each sample: its row, how the caller waited (or `none`), nanoseconds.
-module(crashbed_restart).
-behaviour(gen_server).
-export([main/1, start_worker/1, init/1, handle_call/3, handle_cast/2]).

-define(WORKER, crashbed_worker).
-define(WARM_UP, 20).
%% The supervisor looks at all restarts within its period, which is a second at least: a fresh one every few laps keeps
%% that list as short as it is where crashes are rare.
-define(LAPS_OF_A_SUPERVISOR, 10).

main([Laps, Records, WorkUs]) ->
    ok = logger:set_primary_config(level, none),
    Table = ets:new(records, [public, set]),
    [ets:insert(Table, record(Key, 0, value(Key))) || Key <- lists:seq(0, Records - 1)],
    %% Of the last crash and of the restarted worker's init.
    Times = atomics:new(2, []),
    process_flag(trap_exit, true),
    Lap = fun(Number) -> lap(Number, Table, {Times, WorkUs}, Records) end,
    Samples = laps(Lap, 0, ?WARM_UP + Laps, {self(), Table, Times}),
    Counted = lists:nthtail(?WARM_UP, Samples),
    [io:format("~s ~s ~b~n", [Row, Wait, Ns]) || Lines <- Counted, {Row, Wait, Ns} <- Lines],
    halt(0).

laps(_, From, To, _) when From >= To -> [];
laps(Lap, From, To, Worker) ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, {supervise, Worker}),
    receive {began, _} -> ok end,
    Until = min(From + ?LAPS_OF_A_SUPERVISOR, To),
    Samples = [Lap(Number) || Number <- lists:seq(From, Until - 1)],
    unlink(Supervisor),
    Monitor = monitor(process, Supervisor),
    exit(Supervisor, shutdown),
    receive {'DOWN', Monitor, process, Supervisor, _} -> ok end,
    Samples ++ laps(Lap, Until, To, Worker).

%% A call of a worker that is well, and a crash for each way to wait.
lap(Number, Table, Crash, Records) ->
    Key = Number * 7 rem Records,
    Asked = erlang:monotonic_time(nanosecond),
    Key = gen_server:call(?WORKER, {operate, Table, Key}),
    Answered = erlang:monotonic_time(nanosecond),
    [{call, none, Answered - Asked}] ++ crash(told, Key, Table, Crash) ++ crash(whereis, Key, Table, Crash).

crash(Wait, Key, Table, {Times, _} = Crash) ->
    %% What was at work before is over, and whoever sleeps does.
    timer:sleep(1),
    Before = whereis(?WORKER),
    gen_server:cast(?WORKER, {crash, Crash}),
    Worker = restarted(Wait, Before),
    Key = gen_server:call(Worker, {operate, Table, Key}),
    Answered = erlang:monotonic_time(nanosecond),
    receive {began, _} when Wait =:= whereis -> ok after 0 -> ok end,
    Fault = atomics:get(Times, 1),
    [{restart, Wait, atomics:get(Times, 2) - Fault}, {'first-call', Wait, Answered - Fault}].

restarted(told, _) ->
    receive {began, Worker} -> Worker end;
restarted(whereis, Before) ->
    case whereis(?WORKER) of
        Worker when is_pid(Worker), Worker =/= Before -> Worker;
        _ -> erlang:yield(), restarted(whereis, Before)
    end.

start_worker(Worker) ->
    gen_server:start_link({local, ?WORKER}, ?MODULE, {work, Worker}, []).

init({supervise, Worker}) ->
    Flags = #{strategy => one_for_one, intensity => 1000000, period => 1},
    {ok, {Flags, [#{id => worker, start => {?MODULE, start_worker, [Worker]}, restart => permanent}]}};
init({work, {Caller, _, Times}}) ->
    atomics:put(Times, 2, erlang:monotonic_time(nanosecond)),
    Caller ! {began, self()},
    {ok, none}.

%% Reads a record, checks it, and changes a tenth of it.
handle_call({operate, Table, Key}, _, State) ->
    [{Key, Version, Sum, Value}] = ets:lookup(Table, Key),
    Sum = sum(Key, Version, Value),
    <<_:100/binary, Rest/binary>> = Value,
    Field = binary:copy(<<(Version rem 256)>>, 100),
    true = ets:insert(Table, record(Key, Version + 1, <<Field/binary, Rest/binary>>)),
    {reply, Key, State}.

handle_cast({crash, {Times, WorkUs}}, _) ->
    work(erlang:monotonic_time(nanosecond) + 1000 * WorkUs),
    atomics:put(Times, 1, erlang:monotonic_time(nanosecond)),
    erlang:error(crash).

work(Until) ->
    case erlang:monotonic_time(nanosecond) < Until of
        true -> work(Until);
        false -> ok
    end.

record(Key, Version, Value) ->
    {Key, Version, sum(Key, Version, Value), Value}.

sum(Key, Version, Value) ->
    erlang:crc32([<<Key:64, Version:64>>, Value]).

value(Key) ->
    binary:copy(<<Key:64>>, 125).
