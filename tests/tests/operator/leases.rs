//! R10: several operators may run, one acts, and a lost lease ends the process.

use anyhow::{Result, ensure};
use assay_tests::scratch::unique;

use crate::installation::Operator;
use crate::lab::Lab;

fn holder(lab: &Lab) -> Result<String> {
    let own = &lab.installation.own_namespace;
    let arguments = [
        "-n",
        own,
        "get",
        "lease",
        "assay-operator",
        "-o",
        "jsonpath={.spec.holderIdentity}",
    ];
    lab.kubernetes.kubectl(&arguments)
}

fn wait_for_holder(lab: &Lab, operator: &Operator) -> Result<()> {
    lab.wait("the lease to change hands", || {
        Ok((holder(lab)? == operator.identity).then_some(()))
    })
}

#[test]
fn r10_of_two_operators_one_acts_and_hands_over_when_it_stops() -> Result<()> {
    let mut lab = Lab::start()?;
    let first = lab.operator.take().unwrap();
    wait_for_holder(&lab, &first)?;
    let second = lab.installation.start(|_| ())?;
    second.wait_for_log("waiting for the lease")?;
    let revision = lab.live(&lab.manifest("majors", &unique("raw.trades")))?;
    let passes = second.page("/metrics")?;
    assert!(!passes.contains("assay_operator_reconciles_total{"), "{passes}");
    assert_eq!(second.page("/readyz")?, "ok");

    first.stop()?;
    let logs = lab.installation.logs()?;
    assert!(logs.contains("handed the lease back"), "{logs}");
    wait_for_holder(&lab, &second)?;
    // The new one acts on what is there.
    lab.kubectl(&["delete", "deployment", &format!("majors-{revision}")])?;
    lab.wait("the Deployment to be made again", || {
        Ok(lab.replicas(&revision)?.map(drop))
    })?;
    Ok(())
}

#[test]
fn r10_an_operator_that_lost_its_lease_ends() -> Result<()> {
    let mut lab = Lab::start()?;
    let mut first = lab.operator.take().unwrap();
    wait_for_holder(&lab, &first)?;
    first.freeze();
    let second = lab.installation.start(|_| ())?;
    wait_for_holder(&lab, &second)?;
    first.thaw();
    ensure!(!first.wait_for_end()?, "losing the lease is no success");
    assert_eq!(holder(&lab)?, second.identity);
    let logs = lab.installation.logs()?;
    assert!(logs.contains("the lease was lost"), "{logs}");
    Ok(())
}
