-- Messages that are more than a text. `content` says what is to be sent (schema/domain/content.ts); `wire` is what the transport made of it once (media
-- uploaded), kept so that another attempt and a recipient who asks again get the same.
alter table messages add column content jsonb, add column wire bytea;
