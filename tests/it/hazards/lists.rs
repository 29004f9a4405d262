//! Lists of actions that the torture found, each once a fault.

use kit::torture::{Counts, read, simulate};

fn passes(list: &str) {
    let (seed, actions) = read(list).expect("a list");
    let failure = simulate(seed, &actions, &mut Counts::default());
    assert!(failure.is_none(), "{failure:?}\nof\n{list}");
}

#[test]
fn hazard_52_what_was_removed_is_no_copy_of_another_message_of_the_same_words() {
    passes("world 1095\nhere add 3 B\nhere add 4 A\nquiet\nhere remove 3\n");
    passes("world 1169\nhere add 3 INBOX\nhere add 4 INBOX\nrun\nhere remove 4\n");
}

#[test]
fn hazard_52_messages_of_the_same_words_are_never_taken_for_each_other() {
    passes("world 28\nthere add 3 INBOX\nhere add 4 INBOX\n");
    passes("world 1003\nhere add 3 A/C\nrun\nhere remove 3\nhere add 4 Trash\n");
    passes("world 1254\nthere add 3 A\nquiet\nthere move 3 B\nhere add 4 B\n");
}

#[test]
fn hazard_55_what_another_client_moves_back_at_once_is_mirrored() {
    passes(
        "world 5069\nthere make A/C\nthere add 3 INBOX\nquiet\nhere move 3 A/C\n\
         run ; at command 9 there move 3 INBOX\n",
    );
    passes("world 5348\nthere add 1 B\nhere add 3 D\nrun ; at call 133 there move 3 A/C\n");
}

#[test]
fn hazard_58_a_letter_that_a_reader_gives_after_a_move_means_what_it_means_there() {
    passes("world 1355\nthere add 1 D\nrun\nhere move 1 B\nhere set 1 k2\n");
    passes("world 20054\nthere add 2 A\nrun\nhere move 2 A/C\nhere set 2 k2\n");
}

#[test]
fn hazard_112_messages_of_one_header_are_never_taken_for_each_other() {
    let passes = |list: &str| {
        let (seed, actions) = read(list).expect("a list");
        let failure = kit::torture::pull(seed, &actions, &mut Counts::default());
        assert!(failure.is_none(), "{failure:?}\nof\n{list}");
    };
    passes("world 268\nthere add 3 INBOX\nrun\nthere add 4 INBOX\nthere remove 3\n");
    passes("world 199\nthere add 3 INBOX\nrun\nthere add 4 INBOX\nthere remove 3\n");
    // A first run that is killed while it makes the mailbox, and a Maildir that is away.
    passes("world 70086\nrun ; kill 14\nrun ; away\n");
}

#[test]
fn hazard_101_a_removal_that_was_begun_is_finished_after_a_change_of_the_settings() {
    passes("world 801988\nhere add 3 B\nquiet\nhere drop B\nrun ; power 41 2\nreconfigure\n");
    passes("world 801988\nhere add 3 B\nquiet\nhere remove 3\nrun ; power 41 2\nreconfigure\n");
    for n in 35..50 {
        let cut = format!("run ; kill {n}\nreconfigure\n");
        passes(&format!("world 801988\nhere add 3 B\nquiet\nhere drop B\n{cut}"));
    }
}

#[test]
fn hazard_100_a_file_of_a_root_that_was_away_follows_a_message_that_its_body_tells() {
    passes(
        "world 804053\nhere add 3 A/C\nhere add 4 INBOX\nquiet\n\
         run ; at call 74 there move 4 Trash ; unmounted\nthere move 4 D\n",
    );
}

#[test]
fn hazard_189_what_was_on_neither_side_has_no_new_number() {
    passes(
        "world 2802165\nthere add 1 B\nhere add 2 A/C\nthere add 3 Trash\nquiet\nhere move 1 A\n\
         part A\nhere add 5 A\nrun ; at command 20 there move 1 B ; at call 49 here rename A E\n\
         there renumber B\n",
    );
}

#[test]
fn hazard_190_a_message_leaves_only_to_another_mailbox() {
    passes(
        "world 2810219\nhere add 1 Trash\nrun\nthere move 1 A\ntear-state 46\nquiet\n\
         run ; unmounted\nthere move 1 Trash\nthere renumber Trash\n",
    );
}

#[test]
fn hazard_191_a_mailbox_that_is_renamed_again_before_that_is_noted_is_one() {
    passes(
        "world 2517597\nfilled 2 A\nhere add 4 B\nhere edit 2 5\nrun\nhere rename A D\n\
         run ; at call 74 here rename D E\n",
    );
}

#[test]
fn hazard_192_a_message_whose_copy_is_looked_for_goes_once() {
    passes(
        "world 2612853\nthere add 1 D\nfilled 2 INBOX\nrun\nhere move 1 INBOX\nrun ; kill 64\n\
         there remove 2\nhere remove 1\n",
    );
    // Its file is moved on while the mailbox of the copy gives no answer.
    passes(
        "world 3000942\nhere make A\nhere make B\nthere add 1 D\nhere add 2 D\nrun\n\
         here remake D INBOX\nrun ; at command 10 here move 1 Trash ; \
         at command 20 there move 2 Trash ; around SELECT 3 silent\n",
    );
}

#[test]
fn hazard_178_a_flag_waits_for_the_file_that_is_given_its_message_in_the_same_plan() {
    passes(
        "world 2813367\nthere add 2 A\npart A\nhere copy 2 A/C\nhere set 2 \\Seen\n\
         there move 2 A/C\n",
    );
}

#[test]
fn hazard_193_a_copy_is_not_the_file_that_was_removed() {
    passes(
        "world 2901157\nfilled 1 A/C\nhere add 3 INBOX\nhere add 4 B\nthere add 5 Trash\nrun\n\
         here remove 3\nrun ; kill 19\nthere remove 1\n\
         run ; at command 25 here copy 1 A/C ; at call 56 there remove 4 ; kill 57\n",
    );
}

#[test]
fn hazard_169_a_copy_that_was_looked_for_is_no_other_message() {
    passes("world 4090254\nhere add 3 B\nhere add 4 D\nrun\nhere remove 4\nthere drop B\n");
}

#[test]
fn hazard_194_a_file_moved_back_follows_the_copy_that_was_made_for_it() {
    passes(
        "world 5110539\nhere add 5 Trash\nrun\nhere move 5 A\nrun ; kill 50\nhere move 5 Trash\n",
    );
    // The mailbox to which it returns was numbered anew, on a server with and without object ids.
    passes(
        "world 4100966\nhere add 1 B\nthere add 3 B\nrun\nhere move 3 A/C\nrun\nhere remove 1\n\
         run ; at command 5 here move 3 B ; power 86 2\nthere renumber A/C\nhere move 3 A/C\n",
    );
    passes(
        "world 5110539\nhere add 5 B\nrun\nhere move 5 Trash\nrun ; kill 56\nthere renumber B\n\
         here move 5 B\n",
    );
}

#[test]
fn hazard_195_a_mailbox_numbered_anew_is_renamed_with_its_messages() {
    let found = "world 4050424\nthere add 3 B\nhere add 4 A/C\n\
                 run ; at command 21 there add 5 D\nthere move 3 D\nhere move 4 Trash\n\
                 there renumber A/C\nthere edit 3 8\nhere rename A/C E\n";
    passes(found);
    // The answer to RENAME is lost, too.
    for n in 15..26 {
        passes(&format!("{found}run ; kill {n}\n"));
    }
}

#[test]
fn hazard_92_only_at_the_very_expunge_is_a_flag_out_of_reach() {
    for command in 18..=25 {
        passes(&format!(
            "world 5000855\nthere add 3 B\nthere add 4 A\nrun\nhere remove 4\nrun\n\
             here move 3 Trash\nrun ; at command {command} there set 3 k1\n"
        ));
    }
}

#[test]
fn hazard_140_a_letter_is_used_once_its_table_is_durable() {
    passes(
        "world 5120872\nthere add 1 B\nhere add 2 D\nhere add 3 B\nrun\nhere edit 2 6\n\
         run ; at call 147 here add 7 D\nrun\nthere set 1 k1\nrun ; broken 75\nrun ; power 17 0\n",
    );
}

#[test]
fn hazard_177_a_letter_means_nothing_that_a_file_without_it_could_tell() {
    passes(
        "world 5141178\nhere add 2 INBOX\nrun\nthere set 2 k1\nthere add 4 A\nrun\nhere set 4 k2\n\
         lose-state\nrun ; at call 9 here move 4 B ; at call 15 there move 4 INBOX\n",
    );
}

#[test]
fn hazard_200_a_keyword_that_only_a_file_has_waits_for_a_table_that_can_be_written() {
    passes(
        "world 5081953\nthere make A\nthere make B\nhere make A/C\nhere add 1 D\nfilled 2 INBOX\n\
         filled 3 D\nfilled 4 D\nhere add 5 INBOX\nquiet\nhere set 2 k1\nhere move 5 B\n\
         there move 2 D\nrun ; full 149\n",
    );
    // The table could not be read at first, and could when the file was moved.
    passes(
        "world 5081953\nfilled 2 INBOX\nfilled 3 D\nhere add 4 D\nquiet\nhere set 2 k1\n\
         here move 2 D\nthere move 2 B\nrun ; full 159\n",
    );
}
