import { describe, expect, it } from '@jest/globals';
import { nextStep, type StreamSituation } from '../../src/ops/reasons.ts';

const SYNC = 'leadmirror sync tiledesk.leads';
const WHERE = '--connection tiledesk:agency';

const stepOf = (situation: Partial<StreamSituation>) =>
  nextStep({
    ...{
      connection_id: 'tiledesk:agency',
      stream: 'tiledesk.leads',
      state: 'partial',
      reason_code: 'incomplete',
      isRead: true,
    },
    areDeletionsAccepted: false,
    ...situation,
  });

describe('the next step', () => {
  it('is a full sync only for a stream that was read in full once', () => {
    expect(stepOf({}).command).toBe(`${SYNC} --pass reconcile ${WHERE}`);
    expect(stepOf({ isRead: false }).command).toBe(`${SYNC} ${WHERE}`);
    expect(stepOf({ isRead: false, reason_code: 'backfill_unfinished' }).command).toBe(`${SYNC} ${WHERE}`);
    expect(stepOf({ isRead: false, reason_code: 'deletions_unconfirmed' }).command).toBe(`${SYNC} ${WHERE}`);
  });

  it('is about the records and rows that are named', () => {
    expect(stepOf({ reason_code: 'open_quarantine' }).command).toBe('leadmirror quarantine list');
    expect(stepOf({ reason_code: 'verify_differences' }).command).toBe(
      `leadmirror verify tiledesk.leads --repair ${WHERE}`,
    );
  });

  it('is to wait while the upstream does not answer', () => {
    expect(stepOf({ state: 'blocked', reason_code: 'circuit_open' }).text).toMatch(/^Nothing: it goes on by itself/);
    expect(stepOf({ state: 'stale', reason_code: 'circuit_open' }).command).toBe('leadmirror check');
  });

  it('names where the account is configured', () => {
    const configuredIn = 'leadmirror.yaml: connections[2]';
    for (const reason_code of ['auth_failed', 'auth_not_member', 'project_not_found', 'wrong_base_url']) {
      expect(stepOf({ state: 'blocked', reason_code, configuredIn }).text).toContain(`(configured in ${configuredIn})`);
      expect(stepOf({ state: 'blocked', reason_code }).text).toContain('(in the environment, .env or leadmirror.yaml)');
    }
  });

  it('asks for a restart only where a running daemon does not take a change over', () => {
    for (const reason_code of ['auth_failed', 'auth_not_member', 'project_not_found', 'wrong_base_url']) {
      expect(stepOf({ state: 'blocked', reason_code }).text).toMatch(/follows leadmirror.yaml by itself/);
    }
    expect(stepOf({ connection_id: 'tilkee:default', state: 'blocked', reason_code: 'auth_failed' }).text).not.toMatch(
      /restart/,
    );
  });
});
