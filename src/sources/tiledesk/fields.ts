import type { JsonType, KnownFields } from '../../stream.ts';

/** Top-level fields of the server's models (2.19) and of the older shapes that its documentation shows. What is not here is reported as drift. */
const text: readonly JsonType[] = ['string'];
const number: readonly JsonType[] = ['number'];
const flag: readonly JsonType[] = ['boolean'];
const list: readonly JsonType[] = ['array'];
const object: readonly JsonType[] = ['object'];
/** An id, or the object in its place. */
const reference: readonly JsonType[] = ['string', 'object'];
/** Free form. */
const anything: readonly JsonType[] = ['string', 'number', 'boolean', 'object', 'array'];

const COMMON: KnownFields = { _id: text, id: text, id_project: text, createdAt: text, updatedAt: text, __v: number };

export const LEAD_FIELDS: KnownFields = {
  ...COMMON,
  lead_id: text,
  fullname: text,
  email: text,
  phone: text,
  company: text,
  note: text,
  streetAddress: text,
  city: text,
  region: text,
  zipcode: text,
  country: text,
  tags: list,
  attributes: anything,
  properties: anything,
  status: number,
  createdBy: text,
};

export const REQUEST_FIELDS: KnownFields = {
  ...COMMON,
  request_id: text,
  ticket_id: number,
  status: number,
  preflight: flag,
  hasBot: flag,
  draft: flag,
  first_text: text,
  subject: text,
  requester: reference,
  lead: reference,
  requester_id: text,
  department: reference,
  participants: list,
  participantsAgents: list,
  participantsBots: list,
  participatingAgents: list,
  participatingBots: list,
  assignee: text,
  followers: list,
  priority: text,
  workingStatus: text,
  transcript: text,
  first_response_at: text,
  assigned_at: text,
  closed_at: text,
  closed_by: text,
  waiting_time: number,
  duration: number,
  tags: list,
  notes: list,
  rating: number,
  rating_message: text,
  snapshot: object,
  sourcePage: text,
  language: text,
  userAgent: text,
  channel: object,
  channelOutbound: object,
  attributes: anything,
  location: object,
  contact: object,
  auto_close: number,
  smartAssignment: flag,
  createdBy: text,
  // The oldest examples of the documentation.
  agents: list,
  messages_count: number,
};

export const DEPARTMENT_FIELDS: KnownFields = {
  ...COMMON,
  name: text,
  description: text,
  routing: text,
  default: flag,
  status: number,
  id_bot: text,
  hasBot: flag,
  bot_only: flag,
  id_group: text,
  groups: list,
  online_msg: text,
  offline_msg: text,
  tags: list,
  createdBy: text,
};

export const PROJECT_USER_FIELDS: KnownFields = {
  ...COMMON,
  id_project: reference,
  id_user: reference,
  uuid_user: text,
  role: text,
  roleType: number,
  user_available: flag,
  profileStatus: text,
  presence: object,
  max_assigned_chat: number,
  number_assigned_requests: number,
  last_login_at: text,
  last_ip: text,
  attributes: anything,
  settings: anything,
  tags: list,
  permissions: list,
  status: text,
  trashed: flag,
  isAuthenticated: flag,
  isBusy: flag,
  createdBy: text,
};

export const BOT_FIELDS: KnownFields = {
  ...COMMON,
  name: text,
  slug: text,
  description: text,
  type: text,
  subtype: text,
  language: text,
  url: text,
  webhook_url: text,
  webhook_enabled: flag,
  intentsEngine: text,
  public: flag,
  certified: flag,
  certifiedTags: list,
  tags: list,
  score: number,
  trained: flag,
  trashed: flag,
  agents_available: flag,
  attributes: anything,
  createdBy: text,
};

export const GROUP_FIELDS: KnownFields = {
  ...COMMON,
  name: text,
  members: list,
  enabled: flag,
  trashed: flag,
  attributes: anything,
  createdBy: text,
};

export const TAG_FIELDS: KnownFields = {
  ...COMMON,
  tag: text,
  color: text,
  attributes: anything,
  createdBy: text,
};

export const MESSAGE_FIELDS: KnownFields = {
  ...COMMON,
  sender: text,
  senderFullname: text,
  recipient: text,
  recipientFullname: text,
  type: text,
  channel_type: text,
  channel: object,
  text,
  language: text,
  status: number,
  attributes: anything,
  metadata: anything,
  createdBy: text,
};
