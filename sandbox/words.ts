/** Word lists of the generated data. Every person, company and address is invented; mail only at example.com. */

export const firstNames = [
  'Ada',
  'Bruno',
  'Chiara',
  'Dmitri',
  'Élodie',
  'Farid',
  'Greta',
  'Hiroshi',
  'Ines',
  'Jonas',
  'Katya',
  'Luca',
  'Māra',
  'Nuño',
  'Oksana',
  'Pelle',
  'Qiang',
  'Rosa',
  'Søren',
  'Tomasz',
  'Ulla',
  'Véra',
  'Wim',
  'Xenia',
  'Yusuf',
  'Zoë',
  '美咲',
  'Ольга',
  'عمر',
  '지우',
] as const;

export const lastNames = [
  'Abbondanza',
  'Brückner',
  'Castellomare',
  'Dvořák-Sample',
  'Emberglow',
  'Fjordsen',
  'Galindez',
  'Hollowby',
  'Imaginato',
  'Jablonski',
  'Kettlewick',
  'Lindqvister',
  'Marrowbone',
  'Nightingall',
  "O'Madeup",
  'Pennyfeather',
  'Quillfeather',
  'Rossignolo',
  'Sandvik',
  'Thistledown',
  'Underhay',
  'Vandermeer',
  'Wexcombe',
  'Yellowley',
  'Zucchinelli',
  '佐藤',
  'Иванова',
] as const;

export const companies = [
  'Example Ltd',
  'Made-up Bakery',
  'Nowhere Logistics',
  'Sample & Daughters',
  'Imaginary Bikes',
  'Ønskeby A/S',
  'テスト商店',
] as const;

export const cities = [
  'Nowhere',
  'Lower Sampleton',
  'Fabletown',
  'Città Finta',
  'Övre Påhitt',
  'Испытательск',
] as const;
export const countries = ['Italy', 'France', 'Japan', 'Poland', 'Norway', 'Brazil'] as const;

export const questions = [
  'Hello, where is my order?',
  'Buongiorno, vorrei un preventivo',
  'Can I change the delivery address?',
  'My invoice is wrong 😕',
  'Hi',
  'Bonjour, le lien ne marche pas',
  '注文をキャンセルできますか？',
  'Где моя посылка?',
  'I need a refund, please 🙏🏽',
  'Does the blue one come in size 42?',
  'Line one\nline two\twith a tab',
  'مرحبا، أحتاج مساعدة',
  '"quoted" and \\backslashed\\ text',
  '<b>not html</b> &amp; more',
  "it's about ticket 00123",
  '👩‍👩‍👧‍👦 family plan?',
] as const;

export const replies = [
  'Good morning, let me have a look.',
  'Could you give me the order number?',
  'Done, you will get a mail shortly.',
  'Un attimo, controllo subito.',
  'Thanks for waiting!',
  'Here is a picture of it.',
  'ありがとうございます。',
  'Отправлено ✅',
] as const;

export const leadTags = ['vip', 'newsletter', 'b2b', 'trial', 'à rappeler'] as const;

export const requestTags = [
  { tag: 'billing', color: '#ff0000' },
  { tag: 'delivery', color: '#00ff00' },
  { tag: 'bug', color: '#0000ff' },
  { tag: 'retour ↩' },
] as const;

export const ratingMessages = ['nice', 'too slow', 'Perfetto, grazie!', '⭐⭐⭐⭐', ''] as const;
export const notes = ['called back, no answer', 'internal made-up note', 'promised a discount of 5 %'] as const;
export const languages = ['en', 'it', 'fr', 'ja', 'ru', 'de'] as const;
export const userAgents = [
  'Mozilla/5.0 (X11; Linux x86_64) example-agent/1.0',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) example-agent/2.4',
  'example-agent/1.0',
] as const;
