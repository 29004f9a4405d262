//! Makes up worlds: every small one, and larger ones from a seed.

use mailtide::reconcile::types::{Flags, MailboxName};

use super::act::Act;
use super::check::{failing, run};
use super::model::{Fate, Ladder, Model, Outcome, Side};
use super::notation::flags;
use super::oracle::Oracle;

/// Where a message lies on one side, and its flags there.
pub type Place = Option<(MailboxName, Flags)>;

/// One message of a small world: what was agreed, and both sides now.
pub type Message = (Place, Place, Place);

/// Every state of one message over these mailboxes and sets of flags, except the empty one.
#[must_use]
pub fn messages(mailboxes: &[&str], sets: &[&str]) -> Vec<Message> {
    let mut places: Vec<Place> = vec![None];
    for name in mailboxes {
        places.extend(sets.iter().map(|set| Some((MailboxName::new(name), flags(set)))));
    }
    let mut out = Vec::new();
    for base in &places {
        for local in &places {
            for remote in &places {
                if base.is_some() || local.is_some() || remote.is_some() {
                    out.push((base.clone(), local.clone(), remote.clone()));
                }
            }
        }
    }
    out
}

/// A world of these messages.
#[must_use]
pub fn world(mailboxes: &[&str], messages: &[(char, &Message)], ladder: Ladder) -> Model {
    let lines: String = mailboxes.iter().map(|name| format!("mailbox {name}\n")).collect();
    let mut model = super::notation::parse_with(&lines, ladder);
    for (body, (base, local, remote)) in messages {
        let side = |place: &Place| place.iter().cloned().collect::<Vec<_>>();
        model.put(*body, base.as_ref(), &side(local), &side(remote));
    }
    model.settle_cursors();
    model
}

/// A larger world from a seed, run with crashes and failing steps.
///
/// # Errors
/// What failed.
pub fn try_seed(seed: u64) -> Result<(), String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut model, distinct) = random_world(&mut rng);
    let start = model.to_string();
    let oracle = Oracle::of(&model);
    let judge = |what: &str, end: Result<Model, String>, exact: bool| {
        let end = end.map_err(|failure| format!("seed {seed}, {what}: {failure}"))?;
        oracle
            .judge(&end, exact)
            .map_err(|f| format!("seed {seed}, {what}: {f}\n{end}\nfrom\n{start}"))
    };
    judge("calm", run(&model, Fate::default(), None), distinct)?;
    for _ in 0..3 {
        let outcomes: Vec<(u32, Outcome)> =
            (0..rng.u32(0..3)).map(|_| (rng.u32(0..8), Outcome::ALL[rng.usize(0..3)])).collect();
        let crash_at = rng.bool().then(|| rng.u32(0..40));
        let fate = Fate { crash_at, ..failing(&outcomes) };
        let again = rng.bool().then(|| Fate { crash_at: Some(rng.u32(0..30)), ..Fate::default() });
        let what = format!(
            "crash at {crash_at:?} with {outcomes:?} then {:?}",
            again.as_ref().map(|f| f.crash_at)
        );
        judge(&what, run(&model, fate, again), distinct)?;
    }
    disturb(&mut model, &mut rng, seed)
}

/// Users who move and flag while a run is going on: nothing is lost, and it comes to rest.
fn disturb(model: &mut Model, rng: &mut fastrand::Rng, seed: u64) -> Result<(), String> {
    let names: Vec<MailboxName> = model.disk.keys().cloned().collect();
    let bodies: Vec<char> = model.counted(Side::Local).into_keys().collect();
    if bodies.is_empty() {
        return Ok(());
    }
    let mut fate = Fate::default();
    for _ in 0..rng.u32(1..4) {
        let side = if rng.bool() { Side::Local } else { Side::Remote };
        let (from, to) = (rng.choice(&names), rng.choice(&names));
        let (Some(from), Some(to), Some(body)) = (from, to, rng.choice(&bodies)) else { continue };
        let act = match rng.u8(0..4) {
            0 => Act::Flag(side, from.clone(), *body, flags("SF")),
            1 => Act::Rename(from.clone(), *body),
            _ => Act::Move(side, from.clone(), *body, to.clone()),
        };
        fate.acts.push((rng.u32(0..30), act));
    }
    fate.crash_at = rng.bool().then(|| rng.u32(0..40));
    let acts = format!("{:?} crash at {:?}", fate.acts, fate.crash_at);
    let oracle = Oracle::of(model);
    let end = run(model, fate, None).map_err(|f| format!("seed {seed}, {acts}: {f}"))?;
    let start = model.to_string();
    oracle.judge_kept(&end).map_err(|f| format!("seed {seed}, {acts}: {f}\n{end}\nfrom\n{start}"))
}

const NAMES: [&str; 4] = ["INBOX", "Work", "Lists", "Trash"];
const SETS: [&str; 4] = [".", "S", "F", "SF"];

/// Whether all messages can be told apart.
pub(super) fn random_world(rng: &mut fastrand::Rng) -> (Model, bool) {
    let names = &NAMES[..rng.usize(2..=3)];
    let trash = rng.u8(0..3) == 0;
    let ladder = Ladder {
        can_move: rng.u8(0..4) > 0,
        uidplus: rng.u8(0..4) > 0,
        object_ids: rng.u8(0..4) == 0,
        rewrites: false,
    };
    let mut lines: String = names.iter().map(|name| format!("mailbox {name}\n")).collect();
    let mut names = names.to_vec();
    if trash {
        lines.push_str("mailbox Trash: trash\n");
        names.push("Trash");
    }
    let mut model = super::notation::parse_with(&lines, ladder);
    let distinct = rng.bool();
    let bodies = if distinct { 26 } else { 3 };
    for at in 0..rng.u32(3..=6) {
        let body = if distinct { at } else { rng.u32(0..bodies) };
        let body = char::from(b'A' + u8::try_from(body).unwrap_or(0));
        let place = |rng: &mut fastrand::Rng| {
            let name = MailboxName::new(names[rng.usize(0..names.len())]);
            (name, flags(SETS[rng.usize(0..SETS.len())]))
        };
        let base = (rng.u8(0..5) > 0).then(|| place(rng));
        let side = |rng: &mut fastrand::Rng| match (rng.u8(0..8), &base) {
            (0 | 1, _) => None,
            (2 | 3, _) => Some(place(rng)),
            (4, Some((name, _))) => Some((name.clone(), place(rng).1)),
            (_, base) => base.clone(),
        };
        let (mut local, remote) = (side(rng), side(rng));
        if base.is_none() && local.is_none() && remote.is_none() {
            local = Some(place(rng));
        }
        let list = |place: Place| place.into_iter().collect::<Vec<_>>();
        model.put(body, base.as_ref(), &list(local), &list(remote));
        if rng.u8(0..8) == 0 {
            model.act(&Act::Rename(MailboxName::new(names[0]), body));
        }
    }
    model.settle_cursors();
    (model, distinct)
}
