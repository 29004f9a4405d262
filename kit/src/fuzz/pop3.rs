//! Where the mutations of POP3 start.

use mailtide::remote::pop3::fuzz;

use super::Target;

/// What a server says in a whole session.
pub const CONVERSATION: Target = Target {
    name: "pop3_conversation",
    property: fuzz::conversation,
    corpus: &[
        b"\x00+OK\r\nPIPELINING\r\nUIDL\r\n.\r\n+OK\r\n1 a\r\n2 b\r\n.\r\n+OK\r\n1 5\r\n2 7\r\n.\r\n\
          +OK\r\nA: 1\r\n\r\n.\r\n-ERR no\r\n+OK\r\nA: 1\r\n..\r\n.\r\n+OK 7\r\nx\n.\ny\r\n.\r\n\
          +OK\r\n+OK\r\n+OK\r\n",
        b"\x03\x01\x00\x07-ERR what?\r\n-ERR\r\n+OK\r\n1 3\r\n.\r\n-ERR\r\n+OK\r\n.\r\n+OK\r\n+OK\r\n",
        b"\x02\x01\x02-ERR\n+OK\n2  b \n1 a\n1 c\nx\n.\n+OK\n 1 3 z\n\n.\n+OK\n.\n+OK\n..\n.\n",
        b"\x01\x00-ERR\r\n-ERR [SYS/TEMP] later\r\n+OK\r\n.\r\n",
        b"\x00+OK\r\nSASL PLAIN\r\n..\r\n.\r\n+OK\r\n.\r\n+OK\r\n.\r\n+OK\r\n+ \r\n",
    ],
    words: &[
        b"+OK\r\n",
        b"+OK\n",
        b"-ERR\r\n",
        b"-ERR [IN-USE] x\r\n",
        b"+ \r\n",
        b".\r\n",
        b".\n",
        b"..\r\n",
        b".",
        b"\r\n",
        b"\n",
        b"\r",
        b"1 a\r\n",
        b"2 9999\r\n",
        b"PIPELINING\r\n",
        b" ",
        b"\0",
        b"\xff",
        b"x",
    ],
    openings: &[
        b"",
        b"\x01\x07",
        b"\x00+OK\r\n",
        b"\x00-ERR\r\n+OK\r\n",
        b"\x00-ERR\r\n+OK\r\n1 a\r\n.\r\n+OK\r\n1 5\r\n.\r\n+OK\r\n",
        b"\x00-ERR\r\n+OK\r\n1 a\r\n.\r\n+OK\r\n1 5\r\n.\r\n-ERR\r\n+OK\r\n",
    ],
};

/// Status lines, listings, challenges.
pub const LINE: Target = Target {
    name: "pop3_line",
    property: fuzz::line,
    corpus: &[
        b"+OK POP3 ready <1896.697170952@dbc.mtview.ca.us>",
        b"-ERR [LOGIN-DELAY 300] minimum time between checks",
        b"-err [SYS/TEMP]later",
        b"+ cj1hYmM=",
        b"12 QhdPYR:00WBw1Ph7x7",
        b"  3   120   more",
        b"SASL PLAIN SCRAM-SHA-256\nLOGIN-DELAY 900 USER\nEXPIRE NEVER",
        b"r=abc,s=W22ZaJ0SNY7soEsUEjb6gQ==,m=x",
    ],
    words: &[
        b"+OK",
        b"-ERR",
        b"+",
        b"[",
        b"]",
        b" ",
        b"\t",
        b"\r",
        b"1",
        b"4294967296",
        b"-",
        b"r=",
        b"s=",
        b",",
        b"=",
        b"\n",
        b"\0",
        b"\xff",
        b"x",
        b"SASL",
    ],
    openings: &[b"", b"-ERR [", b"1 ", b"r="],
};

/// Bodies with dots.
pub const BODY: Target = Target {
    name: "pop3_body",
    property: fuzz::body,
    corpus: &[
        b"A: 1\r\n\r\n..dots\r\n...\r\n.\r\n+OK\r\n",
        b".\r\n",
        b"..\r\n.\r\n",
        b"a\n.\r\nb\r\n.\nc\r\n.\r.\r\n.\r\n",
        b"\r.\r\n\r\r\n.\r\r\n.\r\n",
        b"\n.\n..\n.\r\n",
    ],
    words: &[b".", b"\r", b"\n", b"\r\n", b".\r\n", b"\r\n.", b"..", b"x", b"\0", b"\n."],
    openings: &[b"", b"\r\n", b"x"],
};
