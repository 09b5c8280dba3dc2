//! Seeded random faults against the real system; afterwards rows and projection must be byte-equal to those of one
//! undisturbed run over the same log.
//!
//! `ASSAY_TORTURE_FAULTS` says how many (20 by default), `ASSAY_TORTURE_SEED` which; the verdict prints both.

mod faults;
mod feeder;
mod system;

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use faults::{Fault, deal};
use system::{Compared, System};

const DEFAULT_FAULTS: usize = 20;
const MOST_FURTHER_ZOMBIES: usize = 10;

#[test]
fn rows_and_projection_survive_random_faults() -> Result<()> {
    let faults = setting("ASSAY_TORTURE_FAULTS")?.unwrap_or(DEFAULT_FAULTS as u64);
    let seed = setting("ASSAY_TORTURE_SEED")?.unwrap_or_else(rand::random);
    let again = format!("again with: make torture N={faults} SEED={seed}");
    torture(usize::try_from(faults)?, seed).context(again)
}

/// An empty variable is an unset one: make passes both alike.
fn setting(name: &str) -> Result<Option<u64>> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => Ok(Some(text.parse().with_context(|| format!("{name} is no number"))?)),
        _ => Ok(None),
    }
}

fn torture(count: usize, seed: u64) -> Result<()> {
    eprintln!("torture: {count} faults, seed {seed}");
    let started = Instant::now();
    let mut system = System::start(seed)?;
    let mut mix: BTreeMap<&str, u32> = BTreeMap::new();
    for (number, fault) in deal(count, seed).into_iter().enumerate() {
        system
            .suffer(fault)
            .with_context(|| format!("fault {} ({})", number + 1, fault.name()))?;
        *mix.entry(fault.name()).or_default() += 1;
        eprintln!(
            "{:>4}/{count} {:>6.1} s  {:<24} {}",
            number + 1,
            started.elapsed().as_secs_f32(),
            fault.name(),
            system.counts()
        );
    }
    if mix.len() == Fault::ALL.len() {
        fence_someone(&mut system)?;
    }
    system.heal()?;
    let counts = system.counts();
    let Compared { records, judged } = system.compare_with_undisturbed_run()?;
    eprintln!(
        "verdict: byte-equal after {count} faults over {records} records and {judged} judged forecasts, seed {seed}, mix {mix:?}, {counts}"
    );
    ensure_exercised(&mix, &counts, judged)
}

/// Whether a zombie wakes with something to commit is chance; so more of them until one was fenced.
fn fence_someone(system: &mut System) -> Result<()> {
    for _ in 0..MOST_FURTHER_ZOMBIES {
        if system.counts().all_above_zero() {
            break;
        }
        system.suffer(Fault::Zombie).context("a further zombie")?;
    }
    Ok(())
}

/// A run that never fenced, doubted or replayed has shown nothing.
fn ensure_exercised(mix: &BTreeMap<&str, u32>, counts: &system::Counts, judged: u64) -> Result<()> {
    ensure!(
        mix.len() < Fault::ALL.len() || (counts.all_above_zero() && judged > 0),
        "the faults exercised too little: {counts}, {judged} judged forecasts"
    );
    Ok(())
}
