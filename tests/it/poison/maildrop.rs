//! Every command of POP3, and whatever a server may do in the place of an answer: within four pulls
//! everything else is here, what is bad is named, and once the server is well again all is here
//! once, and gone from the server where that is wished.

use std::fmt::Write as _;
use std::time::Duration;

use kit::pop3::{Fault, Injected, Profile, Server, When};
use kit::world::World;
use mailtide::account::Report;
use mailtide::config::Keep;
use mailtide::state::Pull;

use super::{Cases, RUNS};
use crate::maildrop::{inbox, message, messages, of};

/// Pulls within which a server that is well again has given everything.
const HEALED: usize = 12;
/// How many messages there are, and which is the bad one.
const COUNT: u32 = 7;
const BAD: u32 = 3;

/// The kinds of server: with ids and headers, one command after the other, without headers,
/// without ids.
fn kinds() -> [(&'static str, Profile); 4] {
    [
        ("pipelined", Profile::default()),
        ("plain", Profile { pipelining: false, ..Profile::default() }),
        ("without TOP", Profile { top: false, ..Profile::default() }),
        ("without UIDL", Profile { uidl: false, ..Profile::default() }),
    ]
}

/// What a server does in the place of an answer; `listing` where it has several lines.
fn faults() -> Vec<Fault> {
    let say = |text: &str| Fault::Say(text.as_bytes().to_vec());
    let refuse = |text: &str| Fault::Refuse(text.to_owned());
    vec![
        Fault::CutBefore,
        Fault::Hang,
        Fault::CutAfterSent(1),
        refuse("no"),
        refuse("[SYS/TEMP] later"),
        refuse("[SYS/PERM] never"),
        refuse("[IN-USE] busy"),
        say("garbage\r\n"),
        Fault::Drip(Duration::from_secs(10)),
        // No end where several lines belong, then silence.
        say("+OK\r\nSubject: x\r\n"),
    ]
}

/// What is told of a pull, and by `status`.
fn told(world: &World, report: &Report) -> String {
    let mut told = String::new();
    for skip in &report.skipped {
        writeln!(told, "  {}: {}", skip.what, skip.why).unwrap();
    }
    world.asked(|store| {
        for row in store.drop_left(100)? {
            if let Pull::Left(words, _) = row.pull {
                writeln!(told, "  left: {:?}: {words}", row.uidl).unwrap();
            }
        }
        for (_, what, why) in mailtide::account::suspects::named(store)? {
            writeln!(told, "  status: {what}: {why}").unwrap();
        }
        Ok(())
    });
    told
}

struct Case {
    server: Server,
    world: World,
    keep: Keep,
    /// All that ever was on the server.
    all: Vec<String>,
    said: String,
    what: String,
}

impl Case {
    /// Two messages are here already, then there are more.
    fn new(profile: Profile, keep: Keep, what: &str) -> Self {
        let server = Server::with(profile, messages(1..=2));
        let world = World::of_maildrop(&server, keep);
        world.sync().1.unwrap();
        world.wait();
        let new = messages(3..=COUNT);
        new.iter().for_each(|message| server.deliver(message.as_bytes()));
        let all = of(messages(1..=COUNT));
        Self { server, world, keep, all, said: String::new(), what: what.to_owned() }
    }

    fn pull(&mut self) -> bool {
        let (report, result) = self.world.sync();
        self.world.wait();
        let told = told(&self.world, &report);
        writeln!(self.said, "{result:?} {report}\n{told}").unwrap();
        self.safe();
        result.is_ok() && report.skipped.is_empty()
    }

    /// Nothing is doubled, and nothing is deleted that is not here.
    #[track_caller]
    fn safe(&self) {
        let (here, there) = (inbox(&self.world), of(self.server.bodies()));
        let mut once = here.clone();
        once.dedup();
        assert_eq!(once.len(), here.len(), "{}: doubled\n{}", self.what, self.said);
        let is_anywhere = |message: &&String| here.contains(message) || there.contains(message);
        let lost: Vec<&String> = self.all.iter().filter(|m| !is_anywhere(m)).collect();
        assert!(lost.is_empty(), "{}: lost {}\n{}", self.what, lost.len(), self.said);
        if self.keep == Keep::Forever {
            assert_eq!(there, self.all, "{}: deleted", self.what);
        }
    }

    /// Everything but these is here, and something is said of what is not.
    #[track_caller]
    fn others_are_here(&mut self, but: &[u32]) {
        for _ in 0..RUNS {
            self.pull();
        }
        let bad = of(messages(but.iter().copied()));
        let here = inbox(&self.world);
        let missing = self.all.iter().filter(|m| !here.contains(m) && !bad.contains(m)).count();
        assert!(missing == 0, "{}: {missing} are not here\n{}", self.what, self.said);
    }

    #[track_caller]
    fn heals(&mut self) {
        self.server.heal();
        let gone = self.keep == Keep::UntilPulled;
        for _ in 0..HEALED {
            let well = self.pull();
            let there = self.server.messages().len();
            if well && inbox(&self.world) == self.all && (there == 0) == gone {
                // The next one has nothing to do.
                assert!(self.pull(), "{}: restless\n{}", self.what, self.said);
                return;
            }
        }
        let (here, there) = (inbox(&self.world).len(), self.server.messages().len());
        panic!("{}, healed: {here} here, {there} there\n{}", self.what, self.said);
    }
}

/// Tries each fault with each kind of server and each way to keep.
fn each(
    verbs: &[&str],
    faults: &[Fault],
    judge: impl Fn(&mut Case, &dyn Fn(&Case) -> Injected, &str),
) {
    let mut cases = Cases::default();
    let only = std::env::var("MAILTIDE_ONLY").unwrap_or_default();
    let full = !only.is_empty() || std::env::var_os("MAILTIDE_FULL").is_some();
    let mut turn = 0;
    for verb in verbs {
        for (kind, profile) in kinds() {
            for fault in faults {
                for keep in [Keep::Forever, Keep::UntilPulled] {
                    let what = format!("{verb}: {fault:?}, {kind}, {keep:?}");
                    // In the gate a fifth of them.
                    turn += 1;
                    if !what.contains(&only) || !(full || turn % 5 == 0) {
                        continue;
                    }
                    let inject = |case: &Case| {
                        let when = match verb.split_once(' ') {
                            Some((verb, number)) => When::verb(verb).says(number),
                            None => When::verb(verb),
                        };
                        case.server.inject(fault.clone(), when)
                    };
                    let make = || Case::new(profile.clone(), keep, &what);
                    cases.case(&what, || judge(&mut make(), &inject, verb));
                }
            }
        }
    }
    cases.end();
}

/// The number of the bad message in the sessions of a case.
fn bad_verb(verb: &str, keep: Keep) -> String {
    let number = if keep == Keep::Forever { BAD } else { BAD - 2 };
    format!("{verb} {number}")
}

/// Faults at one message.
fn at_one(verb: &str, more: &[Fault]) {
    let mut cases = Cases::default();
    let only = std::env::var("MAILTIDE_ONLY").unwrap_or_default();
    let faults: Vec<Fault> = faults().into_iter().chain(more.iter().cloned()).collect();
    for (kind, profile) in kinds() {
        for fault in &faults {
            for keep in [Keep::Forever, Keep::UntilPulled] {
                let what = format!("{verb}: {fault:?}, {kind}, {keep:?}");
                if !what.contains(&only) {
                    continue;
                }
                cases.case(&what, || {
                    let mut case = Case::new(profile.clone(), keep, &what);
                    let words = bad_verb(verb, keep);
                    let words = words.split_once(' ').unwrap().1.to_owned();
                    // Its number, and nothing that only begins so.
                    let when = When::verb(verb).says(&words);
                    let struck = case.server.inject(fault.clone(), when);
                    case.others_are_here(&[BAD]);
                    let here = inbox(&case.world).contains(&of([message(BAD)])[0]);
                    if struck.hits() > 1 && !here {
                        let name = case.server.messages()[words.parse::<usize>().unwrap() - 1]
                            .uidl
                            .clone()
                            .filter(|_| profile.uidl);
                        let name =
                            name.map_or(format!("message {words}"), |id| format!("UIDL {id}"));
                        let named = |line: &str| line.contains(&name);
                        let all = &case.said;
                        assert!(all.lines().any(named), "{what}: {name} is not named\n{all}");
                    }
                    case.heals();
                });
            }
        }
    }
    cases.end();
}

#[test]
fn one_message_that_cannot_be_retrieved_stops_nothing_else() {
    at_one("RETR", &[Fault::Say(b"+OK\r\n.\r\n".to_vec()), Fault::CutAfterSent(60)]);
}

#[test]
fn one_message_whose_header_cannot_be_had_stops_nothing_else() {
    at_one("TOP", &[Fault::Say(b"+OK\r\n.\r\n".to_vec())]);
}

#[test]
fn one_message_that_cannot_be_deleted_stops_nothing_else() {
    at_one("DELE", &[]);
}

/// What can be done without stops nothing at all.
#[test]
fn what_can_be_done_in_another_way_is() {
    let verbs = ["CAPA", "UIDL", "LIST", "STAT", "TOP", "NOOP", "RSET", "UTF8"];
    each(&verbs, &faults(), |case, inject, verb| {
        inject(case);
        // Without either nothing tells what is new, and all would come again each time.
        let needs_ids = verb == "UIDL" && !case.server.profile().top;
        match needs_ids {
            true => {
                for _ in 0..RUNS {
                    case.pull();
                }
            }
            false => case.others_are_here(&[]),
        }
        case.heals();
    });
}

/// What nothing goes without loses nothing, is named, and is well again once the server is.
#[test]
fn a_command_that_never_works_loses_nothing() {
    let verbs = ["AUTH", "USER", "PASS", "RETR", "DELE", "QUIT"];
    each(&verbs, &faults(), |case, inject, verb| {
        if matches!(verb, "USER" | "PASS") {
            case.server.configure(|profile| profile.sasl = Vec::new());
        }
        inject(case);
        for _ in 0..RUNS {
            case.pull();
        }
        case.heals();
    });
}

/// Several bad messages of different kinds at once.
#[test]
fn several_bad_messages_stop_nothing_else() {
    for (kind, profile) in kinds() {
        let mut case = Case::new(profile, Keep::Forever, kind);
        let faults = faults();
        for (number, fault) in (3..COUNT).zip(faults.iter().cycle().skip(1).step_by(2)) {
            case.server.inject(fault.clone(), When::verb("RETR").says(&number.to_string()));
        }
        case.others_are_here(&(3..COUNT).collect::<Vec<_>>());
        case.heals();
    }
}
