/** Every SQLSTATE of Postgres (appendix A of its manual), but success. */
export const SQLSTATES: readonly string[] = `
  01000 01003 01004 01006 01007 01008 0100C 01P01 02000 02001 03000 08000 08001 08003 08004 08006 08007 08P01
  09000 0A000 0B000 0F000 0F001 0L000 0LP01 0P000 0Z000 0Z002 20000 21000 22000 22001 22002 22003 22004 22005
  22007 22008 22009 2200B 2200C 2200D 2200F 2200G 2200H 2200L 2200M 2200N 2200S 2200T 22010 22011 22012 22013
  22014 22015 22016 22018 22019 2201B 2201E 2201F 2201G 2201W 2201X 22021 22022 22023 22024 22025 22026 22027
  2202E 2202G 2202H 22030 22031 22032 22033 22034 22035 22036 22037 22038 22039 2203A 2203B 2203C 2203D 2203E
  2203F 2203G 22P01 22P02 22P03 22P04 22P05 22P06 22P07 23000 23001 23502 23503 23505 23514 23P01 24000 25000
  25001 25002 25003 25004 25005 25006 25007 25008 25P01 25P02 25P03 25P04 26000 27000 28000 28P01 2B000 2BP01
  2D000 2F000 2F002 2F003 2F004 2F005 34000 38000 38001 38002 38003 38004 39000 39001 39004 39P01 39P02 39P03
  3B000 3B001 3D000 3F000 40000 40001 40002 40003 40P01 42000 42501 42601 42602 42611 42622 42701 42702 42703
  42704 42710 42712 42723 42725 42803 42804 42809 42830 42846 42883 428C9 42939 42P01 42P02 42P03 42P04 42P05
  42P06 42P07 42P08 42P09 42P10 42P11 42P12 42P13 42P14 42P15 42P16 42P17 42P18 42P19 42P20 42P21 42P22 44000
  53000 53100 53200 53300 53400 54000 54001 54011 54023 55000 55006 55P02 55P03 55P04 57000 57014 57P01 57P02
  57P03 57P04 57P05 58000 58030 58P01 58P02 72000 F0000 F0001 HV000 HV001 HV002 HV004 HV005 HV006 HV007 HV008
  HV009 HV00A HV00B HV00C HV00D HV00J HV00K HV00L HV00M HV00N HV00P HV00Q HV00R HV010 HV014 HV021 HV024 HV090
  HV091 P0000 P0001 P0002 P0003 P0004 XX000 XX001 XX002
`
  .trim()
  .split(/\s+/);

/** What Postgres, its poolers and its hosts say when they refuse a connection, with the SQLSTATE that they send. */
export const CONNECTION_REFUSALS: readonly (readonly [sqlstate: string, message: string])[] = [
  ['28P01', 'password authentication failed for user "app"'],
  ['28000', 'no pg_hba.conf entry for host "10.0.0.1", user "app", database "x", no encryption'],
  ['28000', 'role "app" is not permitted to log in'],
  ['3D000', 'database "x" does not exist'],
  ['42501', 'permission denied for database "x"'],
  ['53300', 'sorry, too many clients already'],
  ['53300', 'too many connections for role "app"'],
  ['57P03', 'the database system is starting up'],
  ['57P03', 'the database system is shutting down'],
  ['57P03', 'the database system is not yet accepting connections'],
  ['57P03', 'the database system is in recovery mode'],
  ['57P01', 'terminating connection due to administrator command'],
  ['55000', 'database "x" is not currently accepting connections'],
  ['08P01', 'password authentication failed'],
  ['08P01', 'SASL authentication failed'],
  ['08P01', 'no such database: x'],
  ['08P01', 'no such user: app'],
  ['08P01', 'unsupported startup parameter: options'],
  ['08P01', 'no more connections allowed (max_client_conn)'],
  ['08P01', 'query_wait_timeout'],
  ['08P01', 'server login has been failing, cached error: connect failed (server_login_retry)'],
  ['08P01', 'pgbouncer cannot connect to server'],
  ['08P01', 'bouncer config error'],
  ['08P01', 'database "x" is disabled'],
  ['08P01', 'database "x" is paused'],
  ['08P01', 'the database system is shutting down'],
  ['08P01', 'SSL required'],
  ['08P01', 'TLS required'],
  ['08P01', 'client_idle_timeout'],
  ['XX000', 'Tenant or user not found'],
  ['XX000', 'MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size'],
  ['XX000', 'Max client connections reached'],
  ['XX000', 'Unable to check out process from the pool due to timeout'],
  ['XX000', 'Control plane request failed'],
  ['XX000', "Couldn't connect to compute node"],
  ['XX000', 'The endpoint has been disabled. Enable it using the API and retry.'],
  ['XX000', 'Your project has exceeded the data transfer quota. Upgrade your plan to increase limits.'],
  ['26000', 'Endpoint ID is not specified. Either please upgrade the postgres client library (libpq) for SNI support'],
  ['58000', 'all pool members are down'],
  ['0A000', 'unsupported frontend protocol 3.0: server supports 2.0 to 2.0'],
];

/** What Redis, Valkey, Sentinel, Cluster, their proxies and their hosts answer in place of a result. */
export const REDIS_ERRORS: readonly string[] = [
  'NOAUTH Authentication required.',
  'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time',
  'WRONGPASS invalid username-password pair or user is disabled.',
  'ERR invalid password',
  'ERR Client sent AUTH, but no password is set',
  'ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?',
  "NOPERM User app has no permissions to run the 'info' command",
  'NOPERM No permissions to access a key',
  'NOPERM this user has no permissions to access one of the keys used as arguments',
  'NOPROTO unsupported protocol version',
  'LOADING Redis is loading the dataset in memory',
  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  "READONLY You can't write against a read only replica.",
  "OOM command not allowed when used memory > 'maxmemory'.",
  'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.',
  'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.',
  'BUSYKEY Target key name already exists.',
  'BUSYGROUP Consumer Group name already exists',
  'CLUSTERDOWN The cluster is down',
  'CLUSTERDOWN Hash slot not served',
  'MOVED 3999 127.0.0.1:1',
  'ASK 3999 127.0.0.1:1',
  'TRYAGAIN Multiple keys request during rehashing of slot',
  "CROSSSLOT Keys in request don't hash to the same slot",
  'EXECABORT Transaction discarded because of previous errors.',
  'NOSCRIPT No matching script. Please use EVAL.',
  'NOREPLICAS Not enough good replicas to write.',
  'NOGOODSLAVE No suitable replica to promote',
  'NOMASTERLINK Cannot sync with master',
  'INPROG Failover already in progress',
  'UNKILLABLE Sorry the script already executed write commands against the dataset.',
  'UNBLOCKED client unblocked via CLIENT UNBLOCK',
  'NOTBUSY No scripts in execution right now.',
  'NOQUORUM not enough reachable Sentinels',
  'IOERR error or timeout writing to target instance',
  'WRONGTYPE Operation against a key holding the wrong kind of value',
  'DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user.',
  'ERR max number of clients reached',
  'ERR max number of clients + cluster connections reached',
  'ERR DB index is out of range',
  'ERR invalid DB index',
  'ERR SELECT is not allowed in cluster mode',
  "ERR unknown command 'info', with args beginning with: ",
  "ERR unknown subcommand 'setinfo'. Try CLIENT HELP.",
  'ERR This instance has cluster support disabled',
  'ERR command not allowed when used memory > maxmemory',
  'ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.',
  'ERR max request size exceeded. Limit: 1048576 bytes, Actual: 2097152 bytes',
  'ERR Protocol error: unauthenticated multibulk length',
  'ERR unable to connect to a backend server',
  'ERR upstream failure',
  'ERR Unexpected error',
  'ERR user_script:1: Script attempted to access nonexistent global variable',
  "ERR This Redis command is not allowed from script script: 'info'",
  'ERR illegal address',
  'no upstream host',
  'WEIRD a word that nobody knows',
];
