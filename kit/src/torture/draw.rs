//! Rounds drawn from seeds: what kind of account it is, and what happens to it.

use std::collections::BTreeSet;

use fastrand::Rng;

use super::action::{Action, Cut, Deed, Point, Side, Trouble};
use super::text;

/// Mailboxes of a round.
const MAILBOXES: [&str; 6] = ["INBOX", "A", "B", "A/C", "D", "Trash"];
const FLAGS: [&str; 6] = ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "k1", "k2"];
/// What is sent often enough to be cut around.
const VERBS: [&str; 12] = [
    "LOGIN",
    "LIST",
    "STATUS",
    "SELECT",
    "UID FETCH",
    "UID STORE",
    "UID MOVE",
    "UID COPY",
    "APPEND",
    "UID EXPUNGE",
    "CREATE",
    "RENAME",
];

/// What a round may hold, besides what both engines know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The simulated world.
    Simulated,
    /// Real servers, the built program.
    Real,
}

struct Draw {
    rng: Rng,
    tokens: u32,
    engine: Engine,
}

/// The actions of a round.
#[must_use]
pub fn actions(seed: u64, engine: Engine) -> Vec<Action> {
    let mut draw = Draw { rng: Rng::with_seed(seed ^ 0x5eed), tokens: 0, engine };
    let mut list = Vec::new();
    for mailbox in &MAILBOXES[1..] {
        if draw.rng.u8(..3) > 0 && *mailbox != "Trash" {
            let side = draw.side();
            list.push(Action::Act(side, Deed::Make((*mailbox).to_owned())));
        }
    }
    for _ in 0..draw.rng.u8(2..6) {
        let token = draw.new_token();
        let to = draw.mailbox();
        if draw.rng.u8(..5) == 0 {
            list.push(Action::Filled(token, to));
        } else {
            list.push(Action::Act(draw.side(), Deed::Add(token, to)));
        }
    }
    if draw.rng.u8(..4) > 0 {
        list.push(Action::Quiet);
    }
    let epochs = if engine == Engine::Real { 1 } else { draw.rng.u8(1..4) };
    for _ in 0..epochs {
        for _ in 0..draw.rng.u8(3..10) {
            let action = draw.action();
            list.push(action);
        }
        list.push(Action::Quiet);
    }
    leave_out_alike(&mut list);
    list
}

/// Leaves out the second of two new versions that are alike but for their texts, INTERNALDATE
/// included, where a state is lost or a mailbox is numbered anew: with neither rows nor numbers
/// only bodies could tell them apart, and no client downloads what it has for that.
fn leave_out_alike(list: &mut Vec<Action>) {
    let is_new_numbering = |deed: &Deed| matches!(deed, Deed::Remake(..) | Deed::Renumber(_));
    let deeds = || list.iter().flat_map(Action::deeds);
    if !list.iter().any(Action::forgets) && !deeds().any(is_new_numbering) {
        return;
    }
    let edited = |deed: &Deed| match deed {
        Deed::Edit(_, new) => Some(*new),
        _ => None,
    };
    let all: BTreeSet<u32> = deeds().filter_map(edited).collect();
    let is_second = |deed: &Deed| {
        edited(deed).is_some_and(|new| text::head(new) != new && all.contains(&text::head(new)))
    };
    list.retain_mut(|action| match action {
        Action::Act(_, deed) => !is_second(deed),
        Action::Run(meanwhile, _) => {
            meanwhile.retain(|(_, _, deed)| !is_second(deed));
            true
        }
        _ => true,
    });
}

impl Draw {
    fn side(&mut self) -> Side {
        if self.rng.bool() { Side::Here } else { Side::There }
    }

    fn mailbox(&mut self) -> String {
        MAILBOXES[self.rng.usize(..MAILBOXES.len())].to_owned()
    }

    /// One that may be removed or renamed.
    fn lesser(&mut self) -> String {
        MAILBOXES[self.rng.usize(1..MAILBOXES.len() - 1)].to_owned()
    }

    fn new_token(&mut self) -> u32 {
        self.tokens += 1;
        self.tokens
    }

    fn token(&mut self) -> u32 {
        self.rng.u32(1..=self.tokens.max(1))
    }

    fn flag(&mut self) -> String {
        FLAGS[self.rng.usize(..FLAGS.len())].to_owned()
    }

    fn deed(&mut self, side: Side) -> Deed {
        match self.rng.u8(..20) {
            0..4 => Deed::Add(self.new_token(), self.mailbox()),
            4..7 => Deed::Remove(self.token()),
            7..11 => Deed::Move(self.token(), self.mailbox()),
            11 => Deed::Copy(self.token(), self.mailbox()),
            12..14 => Deed::Set(self.token(), self.flag()),
            14 => Deed::Clear(self.token(), self.flag()),
            15 => Deed::Edit(self.token(), self.new_token()),
            16 => match self.rng.u8(..3) {
                0 => Deed::Make(self.lesser()),
                1 => Deed::Drop(self.lesser()),
                _ => Deed::Remake(self.lesser(), self.mailbox()),
            },
            17 | 18 => {
                let new = ["E", "B", "A/F", "D"][self.rng.usize(..4)];
                Deed::Rename(self.lesser(), new.to_owned())
            }
            _ if side == Side::There => Deed::Renumber(self.mailbox()),
            _ => Deed::Remove(self.token()),
        }
    }

    fn action(&mut self) -> Action {
        match self.rng.u8(..30) {
            0..14 => {
                let side = self.side();
                Action::Act(side, self.deed(side))
            }
            14..25 => self.run(),
            25 => Action::Part(self.mailbox()),
            26 => match self.rng.u8(..3) {
                0 => Action::LoseState,
                1 => Action::SaveState,
                _ => Action::RestoreState,
            },
            27 => match self.rng.u8(..4) {
                0 => Action::TearState(self.rng.u64(..1000)),
                1 => Action::Reconfigure,
                2 => Action::SaveMail,
                _ => Action::RestoreMail,
            },
            28 => Action::Run(Vec::new(), None),
            _ => Action::SaveMail,
        }
    }

    fn run(&mut self) -> Action {
        let mut meanwhile = Vec::new();
        while self.rng.u8(..5) < 2 && meanwhile.len() < 3 {
            let point = if self.rng.bool() {
                Point::Command(self.rng.u64(1..30))
            } else {
                Point::Call(self.rng.u64(1..150))
            };
            let side = self.side();
            let deed = self.deed(side);
            meanwhile.push((point, side, deed));
        }
        let trouble = (self.rng.u8(..5) > 0).then(|| self.trouble(!meanwhile.is_empty()));
        Action::Run(meanwhile, trouble)
    }

    fn trouble(&mut self, meanwhile: bool) -> Trouble {
        let real = self.engine == Engine::Real;
        let furthest = if self.rng.bool() { 20 } else { 90 };
        let nth = 1 + self.rng.u64(..furthest);
        match self.rng.u8(..16) {
            0..5 => Trouble::Kill(nth),
            5 | 6 if !real => Trouble::PowerCut(nth, self.rng.u64(..4)),
            5 | 6 => Trouble::Stopped(nth),
            7 if !meanwhile => Trouble::Full(1 + self.rng.u64(..150)),
            8 if !meanwhile && !real => Trouble::Broken(1 + self.rng.u64(..150)),
            7 | 8 => Trouble::Cut(self.rng.u64(..3_000)),
            9..12 => {
                let verb = VERBS[self.rng.usize(..VERBS.len())].to_owned();
                let cuts = [Cut::Before, Cut::After, Cut::Tagged, Cut::No, Cut::Silent];
                let cut = cuts[self.rng.usize(..cuts.len())];
                Trouble::Around(verb, 1 + self.rng.u64(..3), cut)
            }
            12 => Trouble::Unreadable(self.mailbox()),
            13 => Trouble::Unmounted,
            14 => Trouble::Away,
            _ if real => Trouble::Restart(nth),
            _ => Trouble::Cut(self.rng.u64(..3_000)),
        }
    }
}

/// What is sent to a maildrop, to be cut around.
const POP3_VERBS: [&str; 7] = ["PASS", "UIDL", "LIST", "TOP", "RETR", "DELE", "QUIT"];

/// The actions of a round of an account that pulls.
#[must_use]
pub fn maildrop_actions(seed: u64) -> Vec<Action> {
    let rng = Rng::with_seed(seed ^ 0x90b3);
    let mut draw = Draw { rng, tokens: 0, engine: Engine::Simulated };
    let mut list = Vec::new();
    for _ in 0..draw.rng.u8(1..4) {
        for _ in 0..draw.rng.u8(2..10) {
            let action = draw.maildrop_action();
            list.push(action);
        }
        list.push(Action::Quiet);
    }
    list
}

impl Draw {
    fn maildrop_action(&mut self) -> Action {
        match self.rng.u8(..30) {
            0..9 => Action::Act(Side::There, Deed::Add(self.new_token(), "INBOX".to_owned())),
            9..13 => {
                let side = self.side();
                Action::Act(side, self.maildrop_deed(side))
            }
            13..23 => self.maildrop_run(),
            23 => Action::Part("INBOX".to_owned()),
            24 | 25 => Action::Day,
            26 => Action::SaveMail,
            27 => Action::SaveState,
            28 => match self.rng.u8(..4) {
                0 => Action::LoseState,
                1 => Action::RestoreState,
                2 => Action::RestoreMail,
                _ => Action::TearState(self.rng.u64(..1000)),
            },
            _ => Action::Reconfigure,
        }
    }

    fn maildrop_deed(&mut self, side: Side) -> Deed {
        match (side, self.rng.u8(..8)) {
            (Side::There, 0..2) => Deed::Remove(self.token()),
            (Side::There, 2) => Deed::Renumber("INBOX".to_owned()),
            (Side::There, 3) => Deed::Twin(self.token(), self.token()),
            (Side::There, 4) => Deed::Unname(self.token()),
            (Side::There, _) => Deed::Add(self.new_token(), "INBOX".to_owned()),
            (Side::Here, 0..4) => Deed::Remove(self.token()),
            (Side::Here, 4..6) => Deed::Move(self.token(), "Kept".to_owned()),
            (Side::Here, _) => Deed::Set(self.token(), self.flag()),
        }
    }

    fn maildrop_run(&mut self) -> Action {
        let mut meanwhile = Vec::new();
        while self.rng.u8(..5) < 2 && meanwhile.len() < 3 {
            let side = self.side();
            let deed = self.maildrop_deed(side);
            meanwhile.push((Point::Call(self.rng.u64(1..120)), side, deed));
        }
        let trouble = (self.rng.u8(..5) > 0).then(|| self.maildrop_trouble(!meanwhile.is_empty()));
        Action::Run(meanwhile, trouble)
    }

    fn maildrop_trouble(&mut self, meanwhile: bool) -> Trouble {
        match self.rng.u8(..16) {
            0..4 => Trouble::Kill(1 + self.rng.u64(..60)),
            4..6 => Trouble::PowerCut(1 + self.rng.u64(..60), self.rng.u64(..4)),
            6 if !meanwhile => Trouble::Full(1 + self.rng.u64(..100)),
            7 if !meanwhile => Trouble::Broken(1 + self.rng.u64(..100)),
            8..13 => {
                let verb = POP3_VERBS[self.rng.usize(..POP3_VERBS.len())].to_owned();
                let cuts = [Cut::Before, Cut::After, Cut::Tagged, Cut::No, Cut::Silent];
                Trouble::Around(verb, 1 + self.rng.u64(..3), cuts[self.rng.usize(..5)])
            }
            13 => Trouble::Unreadable("INBOX".to_owned()),
            14 => Trouble::Unmounted,
            15 => Trouble::Away,
            _ => Trouble::Cut(self.rng.u64(..3_000)),
        }
    }
}
