"""A store of shards: plan, write, verify, read one sample by key. The format is described in `docs/format.md`.

plan.make_plan(job)            what will be made, from which inputs; changes nothing
write.pending(plan, job)       the tasks whose shards are missing, stale or damaged
write.run_task(job, plan, t)   make the shards of one task
write.finalise(plan, job)      check the split as a whole, drop shards of older plans
verify.verify(store)           read everything again
read.open_store(store)         manifests, index files, one sample by key
"""
