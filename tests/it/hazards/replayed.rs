//! Lists that the torture found (`kit/src/torture`), by the rule that each one took: both sides
//! change while a run is cut off, its disk is exchanged or cannot be read.

use kit::torture::{Counts, describe, read, report, simulate};

/// Each list passes: nothing is lost, doubled, altered or left unequal.
fn pass(lists: &[&str]) {
    for list in lists {
        let (seed, actions) = read(list).expect("a list");
        let failure = simulate(seed, &actions, &mut Counts::default());
        let text = failure.map(|failure| report(seed, &describe(seed), &actions, &failure));
        assert!(text.is_none(), "{}", text.unwrap_or_default());
    }
}

/// The server names one of two texts that are alike by its object id.
#[test]
fn hazard_52_an_object_id_tells_equal_headers_apart() {
    pass(&[
        "world 984\nhere add 3 A\nhere add 4 Trash\nquiet\nlose-state\nthere move 4 A",
        "world 40535\nfilled 3 A/C\nhere add 4 A/C\nrun\nlose-state\nthere rename A/C A/F",
    ]);
}

/// Numbered anew, and its file in a root that is not here, or moved.
#[test]
fn hazard_56_what_left_before_it_was_numbered_anew_is_not_fetched_beside() {
    pass(&[
        "world 41100\nfilled 1 INBOX\nquiet\nthere renumber INBOX\nrun ; unmounted\n\
         there move 1 D",
        "world 71404\nthere add 5 INBOX\nrun\nrun ; at call 12 here remove 5 ; kill 16\n\
         run ; at command 18 there renumber INBOX",
        "world 30287\nhere add 3 D\nhere add 4 A\nrun\nhere drop A\nthere renumber A\n\
         there remake D Trash",
    ]);
}

/// A keyword whose table could not be written.
#[test]
fn hazard_58_a_letter_that_is_not_in_the_table_is_not_given() {
    pass(&["world 71243\nhere add 1 A\nthere add 3 Trash\nquiet\nhere move 3 D\nhere set 1 k1\n\
         here add 5 B\nquiet\nhere edit 3 6\nhere move 1 D\nrun ; full 125"]);
}

/// A body that was cut off lies in the tmp of a mailbox that has another name by now.
#[test]
fn hazard_59_what_is_left_in_tmp_is_removed_under_the_new_name() {
    pass(&["world 60061\nthere add 5 D\nrun ; power 76 1\nhere rename D A/F"]);
}

/// Cut between the note of the removal and the directory.
#[test]
fn hazard_59_a_mailbox_that_goes_to_the_trash_is_cut_anywhere() {
    pass(&[
        "world 344\nhere make A/C\nhere add 1 Trash\nhere add 2 D\nquiet\nthere rename D B\n\
         run ; at call 68 there drop A/C ; power 62 1\nhere edit 1 6",
        "world 608\nhere make D\nfilled 1 B\nhere add 2 A/C\nrun\n\
         run ; at call 147 there rename D E ; at call 6 here move 2 A\n\
         run ; at command 14 here remove 2 ; kill 65",
    ]);
}

/// Files that cannot be looked at, and a new one with the text of one of them.
#[test]
fn hazard_63_a_new_file_waits_for_the_place_it_may_come_from() {
    pass(&[
        "world 158\nhere add 1 A\nhere move 1 D\nquiet\nhere move 1 INBOX\nthere renumber D\n\
         run ; broken 50",
        "world 50949\nhere make A/C\nthere add 2 INBOX\nthere add 3 D\nquiet\n\
         there move 2 Trash\nthere set 3 \\Draft\nrun ; at call 45 there add 4 A/C ; kill 65\n\
         run ; unreadable INBOX",
    ]);
}

/// A run that is cut off after the root was found to be another one; a marker that was
/// written and not recorded.
#[test]
fn hazard_71_a_root_that_is_exchanged_is_restated_once() {
    pass(&[
        "world 40\nhere add 4 B\nquiet\nrun ; away\n\
         run ; at call 77 there move 4 INBOX ; power 50 2",
        "world 177\nhere add 2 A/C\nhere add 3 INBOX\nhere add 4 B\nrun\nrun ; unmounted\n\
         run ; at call 125 there move 3 A ; cut 1954",
        "world 944\nhere add 3 B\nfilled 4 INBOX\nhere add 5 A\nquiet\nrun ; away\n\
         there move 3 Trash\nrun ; power 81 2",
        "world 40536\nhere add 2 A\nrun\nthere set 2 k1\nrun ; kill 20\n\
         run ; at call 23 there make A/C ; unmounted",
    ]);
}

/// Uploads, copies, moves and removals under way while another root is in place; flags that
/// were agreed on with it.
#[test]
fn hazard_72_what_is_under_way_outlives_its_root() {
    pass(&[
        "world 36\nthere add 1 D\nhere add 2 Trash\nrun ; cut 1994\nrun ; kill 43\nrun ; away\n\
         there move 2 B",
        "world 165\nhere add 3 D\nrun\nhere move 3 INBOX\nrun ; around UID_COPY 1 after\n\
         run ; unmounted",
        "world 931\nthere make B\nhere add 2 D\nthere add 3 A\nquiet\nthere set 2 k1\n\
         there rename B A/F\nrun ; at command 15 here move 3 D ; at command 7 here add 5 B\n\
         run ; unmounted",
        "world 40233\nhere add 4 Trash\nquiet\nhere move 4 A/C\n\
         run ; around UID_FETCH 2 before\nrun ; away",
        "world 40068\nthere add 2 B\nhere add 4 D\nquiet\nhere move 2 A/C\n\
         run ; at call 138 there set 2 \\Draft ; away",
        "world 40444\nthere add 3 INBOX\nrun\nhere move 3 Trash\n\
         run ; at call 14 there set 3 \\Answered ; kill 4\nrun ; away",
        "world 50012\nhere add 3 Trash\nquiet\nrun ; at call 45 there move 3 INBOX ; unmounted\n\
         there move 3 B",
        "world 50404\nfilled 2 INBOX\nthere add 3 Trash\nquiet\n\
         run ; at call 59 there move 3 B ; at command 21 there move 2 A/C ; unmounted\n\
         there rename A E",
    ]);
}

/// Moved between the pair and the merge of its flags; equal texts, each with its own past.
#[test]
fn hazard_73_a_pair_is_agreed_on_at_once() {
    pass(&[
        "world 99\nhere add 1 Trash\nquiet\nrun ; away\nrun ; at command 5 here move 1 INBOX",
        "world 41367\nhere add 6 D\nhere copy 6 INBOX\nhere remake D Trash\nquiet\n\
         run ; unmounted\nthere move 6 D",
    ]);
}

/// The directory cannot be read at the moment at which the server shows its new name.
#[test]
fn hazard_74_a_name_that_could_not_be_looked_at_is_no_new_mailbox() {
    pass(&[
        "world 666\nhere make D\nfilled 1 A/C\nthere add 2 A\nhere add 3 B\nhere add 4 Trash\n\
         quiet\nhere rename A/C E\nrun ; broken 97",
    ]);
}

/// The configuration changes while a moved message has come down at its new place.
#[test]
fn hazard_75_what_came_down_elsewhere_is_not_brought_back() {
    pass(&[
        "world 70513\nhere add 6 A/C\nquiet\nrun ; unmounted\nthere rename A E\n\
         run ; unreadable A/C",
        "world 70621\nthere add 2 INBOX\nhere add 4 Trash\nquiet\nrun ; unmounted\n\
         run ; at call 90 there move 2 Trash ; unreadable INBOX",
        "world 242\nfilled 1 A\nhere add 2 D\nthere add 3 B\nfilled 5 A/C\nquiet\n\
         run ; at command 19 there move 1 B\nrun ; broken 55\nreconfigure",
        "world 40495\nthere add 2 A/C\nquiet\nrun ; at call 72 there rename A/C E ; away\n\
         reconfigure",
    ]);
}

/// Replaced by one of the same header, length and date.
#[test]
fn hazard_76_another_text_under_the_same_header_is_fetched() {
    pass(&[
        "world 81261\nfilled 1 B\nthere edit 1 8\nrun\nrun ; away\nthere edit 8 9",
        "world 40336\nhere add 5 B\nrun\nrun ; at command 6 there edit 5 8\nquiet\n\
         there edit 8 9",
    ]);
}

/// Moved here, and only the target is synchronised.
#[test]
fn hazard_77_a_partial_run_looks_where_a_new_file_comes_from() {
    pass(&[
        "world 40190\nthere add 4 A\nquiet\nhere move 4 B\npart B",
        "world 40354\nthere add 3 INBOX\nquiet\nhere move 3 A/C\npart A/C\nrun ; unmounted",
        "world 40380\nfilled 2 B\nfilled 3 D\nquiet\nrun ; at call 31 here edit 3 6\nquiet\n\
         run ; at command 16 here move 6 B\npart B",
        "world 40615\nhere add 2 B\nfilled 3 D\nthere add 6 A\nthere move 6 A/C\nquiet\n\
         run ; at call 47 here move 6 INBOX\npart INBOX",
        "world 61329\nthere add 1 INBOX\nrun\nthere move 1 A\npart A\nrun ; unmounted",
        "world 70687\nhere add 2 A/C\nrun\nlose-state\nrun ; unreadable A/C\npart B",
        "world 40882\nthere make A\nthere add 1 INBOX\nthere add 2 D\nfilled 3 INBOX\n\
         run ; at call 16 there move 1 B\nquiet\nrun ; at call 42 here move 3 A\npart A",
    ]);
}

/// A mailbox is refused for the first time, or its directory cannot be read, while its
/// messages show up elsewhere.
#[test]
fn hazard_78_what_may_be_in_a_place_not_seen_is_looked_for_there_first() {
    pass(&[
        "world 569\nhere add 1 A\nthere add 2 A\nfilled 3 B\nrun\nthere rename B E\n\
         there rename A B\nrun ; at call 39 there move 3 INBOX\nthere move 2 A",
        "world 41088\nfilled 1 INBOX\nquiet\nrun ; unmounted\n\
         run ; at call 42 there move 1 D ; unreadable D",
    ]);
}

/// Moved between the looks at its old and its new mailbox.
#[test]
fn hazard_79_a_copy_is_asked_for_while_its_source_lies_where_it_was() {
    pass(&["world 50777\nhere make A/C\nhere add 1 A\nquiet\nrun ; at call 36 here move 1 INBOX"]);
}

#[test]
fn hazard_154_a_version_that_came_and_moved_on_unseen_is_not_the_former_one() {
    let lists = [
        "there add 5 A\nrun\nthere edit 5 9\nthere move 9 INBOX",
        "here add 5 A\nrun\nthere edit 5 9\nthere move 9 INBOX\npart INBOX",
        "there add 5 A\nrun\nthere move 5 B\nthere edit 5 9\nthere move 9 INBOX\nrun ; kill 20",
        "there add 5 A\nrun\nhere move 5 INBOX\nthere edit 5 9\nthere move 9 INBOX",
    ];
    pass(&["world 832096\nthere add 5 Trash\nthere edit 5 8\nrun\nthere edit 8 9\n\
            there move 9 INBOX"]);
    // Without QRESYNC, with it, and with the server's own ids.
    for world in [832_096, 2, 7, 9] {
        let lists = lists.map(|list| format!("world {world}\n{list}"));
        pass(&lists.each_ref().map(String::as_str));
    }
}

/// Killed before the body came that would have told two of one header apart.
#[test]
fn hazard_156_what_left_is_known_until_what_came_is_told() {
    pass(&[
        "world 852298\nfilled 1 Trash\nhere add 3 A/C\nhere add 4 D\nquiet\nthere move 1 INBOX\n\
         here remove 3\nthere remove 4\nthere move 3 INBOX\nrun ; power 55 3",
    ]);
}

/// One is removed, and another one is edited into a message that has all of its facts.
#[test]
fn hazard_182_a_new_version_is_told_from_what_left_elsewhere_by_its_body() {
    let lists = [
        "there add 1 A\nthere add 2 Trash\nthere edit 1 3\nrun\nthere remove 3\nthere edit 2 4",
        "there add 1 A\nthere add 2 D\nthere edit 1 3\nrun\nthere edit 2 4\nhere move 3 D\n\
         there remove 3",
        "there add 1 A\nthere add 2 D\nthere edit 1 3\nrun\nthere edit 2 4\nhere remove 2\n\
         there remove 3\nrun ; kill 60",
    ];
    for world in [2_206_171, 2, 7, 9] {
        let lists = lists.map(|list| format!("world {world}\n{list}"));
        pass(&lists.each_ref().map(String::as_str));
    }
}

#[test]
fn hazard_181_a_copy_of_ours_in_a_trash_that_was_made_for_it() {
    pass(&["world 2205385\nhere add 3 D\nhere add 4 A\nhere move 4 B\nquiet\nhere remove 3\n\
            run ; at call 109 there remove 4"]);
}

/// The state was lost, and one of the two sides has a mailbox under another name.
#[test]
fn hazard_183_copies_in_a_mailbox_that_was_renamed_before_the_state_was_lost() {
    pass(&[
        "world 2202744\nthere add 1 A\nhere add 3 A/C\nrun ; at call 1 here copy 3 A/C\nrun\n\
         lose-state\nhere rename A A/F",
        "world 2301910\nthere add 1 B\nquiet\nhere copy 1 B\nrun\nthere add 5 D\n\
         run ; at call 64 there rename B E ; kill 68\nlose-state",
    ]);
}

#[test]
fn hazard_157_a_copy_made_here_is_not_the_file_of_a_message_numbered_anew() {
    pass(&["world 852161\nthere add 1 A/C\nquiet\nthere renumber A/C\nhere copy 1 A/C"]);
}

#[test]
fn hazard_59_a_mailbox_that_could_not_be_made_takes_no_file_yet() {
    pass(&[
        "world 852971\nthere make A\nhere add 1 Trash\nhere add 2 A/C\nquiet\nhere add 3 INBOX\n\
         there edit 2 4\nhere add 5 A/C\nthere move 1 B\nquiet\nthere move 4 D\n\
         run ; broken 115\nthere remove 4",
        "world 852082\nhere make B\nfilled 1 A\nhere add 3 A/C\n\
         run ; at call 57 here add 4 A/C ; at command 16 there rename A/C A/F\npart B\n\
         there remove 3\nhere add 5 D\nquiet\nthere move 5 Trash\nrun ; broken 124",
    ]);
}

/// The state was lost.
#[test]
fn hazard_54_a_directory_that_could_not_be_read_may_be_that_of_a_new_mailbox() {
    pass(&["world 852375\nfilled 4 A/C\nhere add 5 A\nrun\nlose-state\npart A\nlose-state\n\
         run ; broken 61"]);
}

#[test]
fn hazard_58_a_letter_of_both_tables_that_was_given_after_the_last_look() {
    pass(&[
        "world 853095\nthere add 2 Trash\nhere add 4 B\nhere move 4 Trash\nrun\nhere move 4 B\n\
         here set 2 k2\nhere set 4 k1",
    ]);
}

#[test]
fn hazard_140_a_removal_that_only_the_memory_holds_is_no_agreement() {
    pass(&["world 830409\nhere make A\nthere make B\nfilled 2 A/C\nhere add 4 Trash\n\
         there move 2 D\nquiet\nrun ; at command 9 there renumber Trash\nrun\nthere remove 2\n\
         run ; kill 46\nquiet\nrun ; power 5 2"]);
}

/// The mailbox of the copy does not answer when the flags are to be stored there.
#[test]
fn hazard_92_a_message_stays_until_its_copy_has_its_new_flags() {
    pass(&["world 860907\nhere make A\nthere make A/C\nhere make D\nthere add 1 INBOX\n\
         there add 2 Trash\nthere edit 1 3\nquiet\nhere move 3 Trash\nrun ; kill 70\n\
         there set 3 k2\nrun ; around SELECT 3 silent"]);
}

#[test]
fn hazard_158_a_keyword_that_was_refused_once_is_tried_again() {
    pass(&[
        "world 865521\nfilled 1 INBOX\nhere set 1 k1\nrun ; around UID_STORE 1 no",
        "world 2\nfilled 1 INBOX\nquiet\nhere set 1 k1\nrun ; around UID_STORE 1 no",
    ]);
}

#[test]
fn hazard_159_a_flag_follows_a_message_whose_move_was_not_seen() {
    pass(&["world 853759\nthere add 2 B\nquiet\nthere move 2 INBOX\n\
            run ; at command 7 here set 2 k2 ; around UID_FETCH 2 no"]);
}

/// In doubt, since its root was away, and its mailbox renamed there while it could not be read.
#[test]
fn hazard_178_a_flag_of_a_file_in_doubt_follows_its_message() {
    pass(&[
        "world 2034471\nthere add 1 D\nrun\nrun ; away\nhere set 1 k2\n\
         run ; at call 47 there rename D A/F ; unreadable D",
        "world 2034471\nthere add 1 D\nthere set 1 \\Flagged\nrun\nrun ; away\n\
         here set 1 \\Seen\nrun ; at call 47 there rename D A/F ; unreadable D",
        "world 2027285\nthere add 2 A/C\nquiet\nhere set 2 k2\n\
         run ; at call 60 there add 4 B ; unmounted\n\
         run ; at call 119 there rename A/C A/F ; unreadable A/C",
    ]);
}

/// The Maildir has seen later runs than the store that was put back, which meanwhile counts on with
/// another Maildir.
#[test]
fn hazard_179_numbers_of_runs_that_a_restored_store_gives_again() {
    pass(&[
        "world 2207652\nhere add 1 INBOX\nhere add 3 A/C\nquiet\nhere add 4 Trash\nsave-state\n\
         quiet\nrun ; at command 4 there remove 3\nrestore-state\nthere set 1 \\Draft\n\
         run ; away\nhere move 1 Trash",
    ]);
}

#[test]
fn hazard_187_a_mailbox_that_is_gone_is_no_place_for_a_file() {
    pass(&[
        "world 2509723\nfilled 3 B\nfilled 4 A/C\nthere add 5 B\nrun ; kill 16\nrun ; kill 16\n\
            here remove 4\nrun ; at command 28 there rename B E\n\
            run ; at call 29 here move 5 B ; kill 13",
    ]);
}

#[test]
fn hazard_188_a_new_version_is_not_its_older_text_in_doubt() {
    pass(&[
        "world 2414628\nfilled 1 B\nthere edit 1 3\nquiet\nrun ; unmounted\nthere edit 3 4",
        "world 2512124\nhere add 3 Trash\nhere add 4 Trash\nrun\nrun ; unmounted\nthere remove 3\n\
         here remove 4",
    ]);
}

#[test]
fn hazard_58_a_file_whose_table_could_not_be_read_keeps_its_keywords() {
    pass(&["world 2516110\nthere make A\nthere add 1 D\nhere add 2 B\nfilled 3 A/C\nquiet\n\
            here set 3 k2\nthere set 3 \\Answered\n\
            run ; at call 51 there add 4 D ; at command 17 here rename A/C A/F ; \
            at command 11 here move 4 INBOX"]);
}
