"""How the parts of this domain are put together."""

from pathlib import Path

from dependency_injector import containers, providers

from domains.emails import router as router_module
from domains.emails import tasks as tasks_module
from domains.emails.gateway.null import NullTransport
from domains.emails.gateway.transport import SmtpTransport
from domains.emails.repository import EmailRepository
from domains.emails.service.delivery import DeliveryService
from domains.emails.service.emails import EmailEraser, EmailService
from domains.emails.service.encryption import MailEncryption
from domains.emails.service.mailer import MailerService
from domains.emails.service.measuring import EmailMeasures
from domains.emails.service.mime import mail_host
from domains.emails.service.rendering import Renderer
from domains.emails.service.resolving import ResolutionService
from domains.emails.service.retention import RetentionService
from domains.emails.settings import EmailsSettings, parse_smtp_url
from domains.jobs.public import Jobs
from shared.audit import AuditLog
from shared.clock import Clock
from shared.db.database import Database, TransactionFactory
from shared.jobs import Outbox

TEMPLATES = Path(__file__).parent / "templates"


def _renderer(folders: dict[str, Path], settings: EmailsSettings, public_url: str) -> Renderer:
    return Renderer(
        folders, own_folder=TEMPLATES, product=settings.emails_product_name, public_url=public_url
    )


def _transport(settings: EmailsSettings, public_url: str) -> SmtpTransport:
    if settings.emails_smtp_url is None:
        return NullTransport()
    # Of the processes only those that deliver mails speak SMTP.
    from domains.emails.gateway.smtp import SmtpGateway  # noqa: PLC0415  # as above

    server = parse_smtp_url(settings.emails_smtp_url.get_secret_value())
    return SmtpGateway(server, settings=settings, local_hostname=mail_host(public_url))


class EmailsContainer(containers.DeclarativeContainer):
    """Transactional mail and its delivery."""

    settings = providers.Dependency(instance_of=EmailsSettings)
    database = providers.Dependency(instance_of=Database)
    transaction: providers.Dependency[TransactionFactory] = providers.Dependency()
    outbox = providers.Dependency(instance_of=Outbox)
    jobs: providers.Dependency[Jobs] = providers.Dependency()
    clock = providers.Dependency(instance_of=Clock)
    template_folders = providers.Dependency(instance_of=dict)
    mail_keys = providers.Dependency(instance_of=list)
    public_url = providers.Dependency(instance_of=str)
    audit: providers.Dependency[AuditLog] = providers.Dependency()

    repository = providers.ThreadSafeSingleton(EmailRepository, database)
    encryption = providers.ThreadSafeSingleton(MailEncryption, mail_keys)
    renderer = providers.ThreadSafeSingleton(_renderer, template_folders, settings, public_url)
    transport = providers.ThreadSafeSingleton(_transport, settings, public_url)

    mailer = providers.ThreadSafeSingleton(
        MailerService,
        emails=repository,
        transaction=transaction,
        outbox=outbox,
        clock=clock,
        renderer=renderer,
        encryption=encryption,
        settings=settings,
        public_url=public_url,
    )
    delivery = providers.ThreadSafeSingleton(
        DeliveryService,
        emails=repository,
        transaction=transaction,
        outbox=outbox,
        jobs=jobs,
        clock=clock,
        transport=transport,
        encryption=encryption,
        settings=settings,
    )
    service = providers.ThreadSafeSingleton(EmailService, emails=repository)
    resolution = providers.ThreadSafeSingleton(
        ResolutionService,
        emails=repository,
        jobs=jobs,
        transaction=transaction,
        outbox=outbox,
        clock=clock,
        settings=settings,
        audit=audit,
    )
    retention = providers.ThreadSafeSingleton(
        RetentionService, emails=repository, transaction=transaction, clock=clock, settings=settings
    )
    personal_data = providers.ThreadSafeSingleton(
        EmailEraser, emails=repository, transaction=transaction, clock=clock
    )

    measures = providers.ThreadSafeSingleton(EmailMeasures, repository)

    routers = providers.Object([router_module.router])
    stoppables = providers.List(transport)
    tasks = providers.Object(tasks_module)
    templates = providers.Object(TEMPLATES)
    resource_urls = providers.Object({"email": "/v1/emails/{id}"})
