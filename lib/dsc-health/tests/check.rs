//! One check against the clock: when it probes, and what light follows from the ends of its probes.

use dsc_health::*;
use dsc_wire::{Light, Reason, Time};
use std::time::Duration;

const SETTINGS: Settings = Settings {
    every: Duration::from_millis(200),
    timeout: Duration::from_millis(150),
    rise: 2,
    fall: 3,
};

fn ms(n: u64) -> Time {
    Time::from_ms(n)
}

fn step(check: &mut Check, now: Time, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    check.step(now, input, &mut out);
    out
}

/// The next probe, ended so; light and reason after it.
fn probe(check: &mut Check, now: &mut Time, result: Result<(), Reason>) -> (Light, Reason) {
    *now = check.deadline().max(*now);
    let out = step(check, *now, Input::Tick);
    let [Output::Probe { number }] = out[..] else { panic!("{out:?}") };
    step(check, *now, Input::Ended { number, result });
    (check.light(), check.reason())
}

#[test]
fn rise_and_fall_are_counted_in_a_row() {
    let (mut now, refused) = (ms(1000), Err(Reason::Refused));
    let mut check = Check::new(SETTINGS, now, Duration::ZERO, Start::Unknown);
    let mut lights = Vec::new();
    for result in [Ok(()), refused, Ok(()), Ok(()), refused, refused, Ok(()), refused, refused] {
        lights.push(probe(&mut check, &mut now, result).0);
    }
    use Light::{Green as G, Yellow as Y};
    assert_eq!(lights, [Y, Y, Y, G, G, G, G, G, G]);
    assert_eq!(probe(&mut check, &mut now, refused), (Light::Red, Reason::Refused));
    assert_eq!(now, ms(1000 + 9 * 200), "one each 200 ms");
    assert_eq!(probe(&mut check, &mut now, Ok(())).0, Light::Red);
    assert_eq!(probe(&mut check, &mut now, Ok(())), (Light::Green, Reason::Answered));
}

#[test]
fn a_probe_without_an_end_has_failed_and_its_late_end_counts_for_nothing() {
    let mut check = Check::new(SETTINGS, ms(0), Duration::from_millis(50), Start::Unknown);
    assert_eq!(check.deadline(), ms(50));
    assert_eq!(step(&mut check, ms(49), Input::Tick), []);
    for n in 1..=3 {
        let began = check.deadline();
        let out = step(&mut check, began, Input::Tick);
        // The end of the one before comes with the begin of the next.
        assert_eq!(out.last(), Some(&Output::Probe { number: n }));
        let given_up = began + SETTINGS.timeout + Duration::from_millis(100);
        assert_eq!(check.deadline(), given_up);
        assert_eq!(step(&mut check, Time(given_up.0 - 1), Input::Tick), []);
    }
    let end = check.deadline();
    let out = step(&mut check, end, Input::Tick);
    assert_eq!(out, [Output::Changed, Output::Probe { number: 4 }]);
    assert_eq!((check.light(), check.reason()), (Light::Red, Reason::TimedOut));
    for number in [1, 2, 3, 5] {
        assert_eq!(step(&mut check, end, Input::Ended { number, result: Ok(()) }), []);
    }
    step(&mut check, end, Input::Ended { number: 4, result: Ok(()) });
    assert_eq!(check.light(), Light::Red, "one success");
}

#[test]
fn a_driver_that_slept_makes_one_probe() {
    let mut check = Check::new(SETTINGS, ms(0), Duration::ZERO, Start::Unknown);
    assert_eq!(step(&mut check, ms(10_000), Input::Tick), [Output::Probe { number: 1 }]);
    step(&mut check, ms(10_001), Input::Ended { number: 1, result: Ok(()) });
    assert_eq!(step(&mut check, ms(10_001), Input::Tick), []);
    assert!(check.deadline() >= ms(10_100), "{:?}", check.deadline());
}

#[test]
fn what_is_doubted_is_probed_at_once_and_more_often_until_that_is_over() {
    let ok = |check: &mut Check, now| {
        let out = step(check, now, Input::Tick);
        let [Output::Probe { number }] = out[..] else { panic!("{out:?}") };
        step(check, now, Input::Ended { number, result: Ok(()) });
    };
    let mut check = Check::new(SETTINGS, ms(1000), Duration::ZERO, Start::Unknown);
    ok(&mut check, ms(1000));
    assert_eq!(check.deadline(), ms(1200));
    step(&mut check, ms(1120), Input::Doubted(true));
    assert_eq!(check.deadline(), ms(1120), "at once");
    ok(&mut check, ms(1120));
    assert_eq!(check.deadline(), ms(1170), "then four times as often");
    step(&mut check, ms(1121), Input::Doubted(true));
    assert_eq!(check.deadline(), ms(1170), "said again is no news");
    ok(&mut check, ms(1170));
    step(&mut check, ms(1171), Input::Doubted(false));
    ok(&mut check, ms(1220));
    assert_eq!(check.deadline(), ms(1420), "as before");
    // Again so soon: no sooner than the pace allows.
    step(&mut check, ms(1221), Input::Doubted(true));
    assert_eq!(check.deadline(), ms(1270));
}

#[test]
fn a_doubt_counts_for_a_failure_but_never_without_failed_probes() {
    for fall in 1..=6 {
        let settings = Settings { fall, rise: 1, ..SETTINGS };
        let mut now = ms(1000);
        let mut check = Check::new(settings, now, Duration::ZERO, Start::Unknown);
        probe(&mut check, &mut now, Ok(()));
        step(&mut check, now, Input::Doubted(true));
        for _ in 0..100 {
            assert_eq!(probe(&mut check, &mut now, Ok(())).0, Light::Green, "only doubted");
        }
        let mut probes = 1;
        while probe(&mut check, &mut now, Err(Reason::Refused)).0 != Light::Red {
            probes += 1;
        }
        assert_eq!(probes, [1, 2, 2, 3, 3, 4][fall as usize - 1], "fall {fall}");
        let red = now;
        probe(&mut check, &mut now, Err(Reason::Refused));
        probe(&mut check, &mut now, Err(Reason::Refused));
        assert!(now.since(red) >= Duration::from_millis(250), "a red one is no hurry");
        assert_eq!(probe(&mut check, &mut now, Ok(())).0, Light::Green);
    }
}

#[test]
fn who_takes_over_begins_red_and_needs_its_own_successes() {
    let mut now = ms(0);
    let start = Start::Red(Reason::Unreachable);
    let mut check = Check::new(SETTINGS, now, Duration::ZERO, start);
    assert_eq!((check.light(), check.reason()), (Light::Red, Reason::Unreachable));
    assert_eq!(probe(&mut check, &mut now, Ok(())).0, Light::Red);
    assert_eq!(probe(&mut check, &mut now, Ok(())).0, Light::Green);
}

#[test]
fn why_it_is_red_is_told_again_when_that_has_changed_for_good() {
    let mut now = ms(0);
    let mut check = Check::new(SETTINGS, now, Duration::ZERO, Start::Red(Reason::TimedOut));
    let why = |check: &mut Check, now: &mut Time, status| {
        probe(check, now, Err(Reason::Status { status })).1
    };
    assert_eq!(why(&mut check, &mut now, 503), Reason::TimedOut);
    assert_eq!(why(&mut check, &mut now, 502), Reason::TimedOut);
    assert_eq!(why(&mut check, &mut now, 503), Reason::TimedOut);
    assert_eq!(why(&mut check, &mut now, 503), Reason::TimedOut);
    assert_eq!(why(&mut check, &mut now, 503), Reason::Status { status: 503 });
}

#[test]
fn one_that_flaps_stays_red_and_says_so_until_the_hour_is_over() {
    let settings = Settings { rise: 1, fall: 1, ..SETTINGS };
    let mut now = ms(0);
    let mut check = Check::new(settings, now, Duration::ZERO, Start::Unknown);
    let mut changes = 0;
    let mut before = check.light();
    for n in 0..200 {
        let result = if n % 2 == 0 { Ok(()) } else { Err(Reason::Refused) };
        let (light, _) = probe(&mut check, &mut now, result);
        changes += usize::from(light != before);
        before = light;
    }
    assert_eq!(changes, CHANGES_MAX, "green, red ... ten times");
    assert_eq!(probe(&mut check, &mut now, Ok(())), (Light::Red, Reason::Flapping));
    now = ms(3_600_000);
    step(&mut check, now, Input::Tick);
    let number = 202;
    step(&mut check, now, Input::Ended { number, result: Ok(()) });
    assert_eq!(check.light(), Light::Green);
}

/// Whatever happens: never green before `rise` successes in a row, never red before `fall` failures, few changes in an hour,
/// and never two probes at once.
#[test]
fn no_sequence_of_ends_breaks_the_rules() {
    bolero::check!().with_type::<(u8, u8, Vec<(u8, u16)>)>().for_each(|(rise, fall, ends)| {
        let settings =
            Settings { rise: u32::from(rise % 5) + 1, fall: u32::from(fall % 5) + 1, ..SETTINGS };
        let mut now = ms(1);
        let mut check = Check::new(settings, now, Duration::ZERO, Start::Unknown);
        let (mut good, mut bad, mut running) = (0u32, 0u32, None);
        let mut changes: Vec<Time> = Vec::new();
        let mut before = check.light();
        for (what, later) in ends {
            now += Duration::from_millis(u64::from(*later));
            let mut out = Vec::new();
            let input = match (what % 4, running) {
                (0, Some(number)) => Input::Ended { number, result: Ok(()) },
                (1, Some(number)) => Input::Ended { number, result: Err(Reason::Closed) },
                (2, _) => Input::Ended { number: 0, result: Ok(()) },
                _ => Input::Tick,
            };
            let due = check.deadline();
            check.step(now, input, &mut out);
            match input {
                Input::Ended { number, result } if Some(number) == running => {
                    running = None;
                    (good, bad) = if result.is_ok() { (good + 1, 0) } else { (0, bad + 1) };
                }
                Input::Tick if running.is_some() && now >= due => {
                    running = None;
                    (good, bad) = (0, bad + 1);
                }
                _ => {}
            }
            for output in out {
                if let Output::Probe { number } = output {
                    assert_eq!(running.replace(number), None, "two at once");
                }
            }
            let light = check.light();
            if light != before {
                match light {
                    Light::Green => assert!(good >= settings.rise, "{good} successes"),
                    Light::Red => assert!(bad >= settings.fall, "{bad} failures"),
                    Light::Yellow => panic!("yellow again"),
                }
                changes.push(now);
                before = light;
            }
            if bad >= settings.fall {
                assert_eq!(light, Light::Red, "{bad} failures");
            }
        }
        for (n, first) in changes.iter().enumerate() {
            let hour = changes[n..].iter().filter(|at| at.since(*first).as_secs() < 3600).count();
            assert!(hour <= CHANGES_MAX + 1, "{hour} changes in an hour");
        }
    });
}
