/** What the simulated project holds, with ids and dates in their JSON form. */
import type { StoredDocument } from './collection.ts';
import type { Random } from './random.ts';

export interface Lead extends StoredDocument {
  readonly status?: number;
  readonly lead_id?: string;
  readonly fullname?: string;
  readonly email?: string;
  /** Absent on the stub that a write to an unknown id leaves behind. */
  readonly id_project?: string;
  readonly createdAt?: string;
  readonly updatedAt?: string;
}

export interface Request extends StoredDocument {
  readonly request_id: string;
  readonly status: number;
  readonly id_project?: string;
  readonly lead?: string;
  readonly requester?: string;
  readonly department?: string;
  readonly participants: readonly string[];
  readonly createdAt?: string;
  readonly updatedAt?: string;
}

export interface User extends StoredDocument {
  readonly status: number;
  readonly email: string;
  readonly firstname: string;
  readonly lastname: string;
}

export interface Department extends StoredDocument {
  readonly name: string;
  readonly status: number;
}

export interface ProjectUser extends StoredDocument {
  /** Id of the user; absent for guests and for members whose user is gone. */
  readonly id_user?: string;
  readonly uuid_user?: string;
  readonly role: string;
  readonly roleType: number;
  readonly trashed: boolean;
}

export const iso = (at: number): string => new Date(at).toISOString();

export const idForm = /^[0-9a-f]{24}$/i;

/** Mongo-like ids: the creation second, five bytes for the process, a counter. */
export class IdFactory {
  #process: string;
  #counter: number;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
    this.#process = random.hex(10);
    this.#counter = random.int(0, 0x7fffff);
  }

  next(at: number): string {
    this.#counter = (this.#counter + 1) & 0xffffff;
    const second = (Math.floor(at / 1000) >>> 0).toString(16).padStart(8, '0');
    return second + this.#process + this.#counter.toString(16).padStart(6, '0');
  }

  /** A server restart: the middle part changes, so within one second ids do not follow creation order. */
  restart(): void {
    this.#process = this.#random.hex(10);
  }
}
