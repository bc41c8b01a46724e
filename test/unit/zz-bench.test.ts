import { test, expect } from 'vitest'
import { mkdirSync, rmSync } from 'node:fs'
import { systemEnvironment } from '/work/main/engine/environment.js'
import { defaultLimits } from '/work/main/engine/limits.js'
import { openLog } from '/work/main/engine/log/open.js'
import { commitSizeBytes } from '/work/main/engine/encoding/records.js'
import { asKey, asTs, noTs } from '/work/main/isolation/types.js'
test('bench', async () => {
  for (const clients of [1, 4, 16, 64, 256, 1024]) {
    const dir = '/work/.logbench'; rmSync(dir, { recursive: true, force: true }); mkdirSync(dir)
    let ts = 0
    const waiting: {ts: number, go: () => void}[] = []
    const { log } = openLog({ directory: dir, environment: systemEnvironment, limits: defaultLimits, appliedTs: noTs, incarnation: 1, onFailure: e => console.log(e), onDurable() {} })
    const value = Buffer.alloc(100, 7)
    const end = performance.now() + 1500
    let done = 0
    const spin = +(process.env.SPIN ?? 0)
    const client = async () => {
      while (performance.now() < end) {
        const until = performance.now() + spin; while (performance.now() < until);
        const writes = [{ key: asKey('abcdefgh' + ts), value }, { key: asKey('bbcdefgh' + ts), value }]
        log.reserve(commitSizeBytes(writes)); const t = asTs(++ts); log.append({ ts: t, writes }, false)
        await log.whenDurable(t); done++
        if (ts % 100000 === 0) log.trim(log.durableTs)
      }
    }
    const s = performance.now()
    await Promise.all(Array.from({ length: clients }, client))
    console.log(clients, Math.round(done / (performance.now() - s) * 1000), 'commits/s')
    await log.close(true); rmSync(dir, { recursive: true })
  }
}, 60000)
